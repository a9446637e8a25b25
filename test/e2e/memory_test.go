//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// The garbage collector works harder before a container reaches its limit: Go's memory
// limit is three quarters of it.
func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Namespace(t), "chat", 1, "27")
	const selector = "erlang-operator.dev/cluster=chat,erlang-operator.dev/component=probe"
	pod := kubectl.Must(t, "get", "pods", "-n", c.Namespace, "-l", selector, "-o", "jsonpath={.items[0].metadata.name}")
	limit := kubectl.Must(t, "get", "pod", pod, "-n", c.Namespace, "-o", "jsonpath={.spec.containers[0].resources.limits.memory}")
	if limit != "128Mi" {
		t.Fatalf("the limit of the probe is %s: change this test", limit)
	}
	var metrics string
	await.Until(t, 2*time.Minute, "the probe gives its metrics", func(ctx context.Context) (err error) {
		metrics, err = forwarded(ctx, c.Namespace, pod, "8080", "/metrics")
		return err
	})
	match := regexp.MustCompile(`(?m)^go_gc_gomemlimit_bytes (\S+)$`).FindStringSubmatch(metrics)
	if match == nil {
		t.Fatal("the probe has no metric go_gc_gomemlimit_bytes")
	}
	got, err := strconv.ParseFloat(match[1], 64)
	if want := 0.75 * (128 << 20); err != nil || got < want-1 || got > want {
		t.Errorf("Go's memory limit is %s bytes (%v), want %.0f", match[1], err, want)
	}
}

// forwarded is what a port of a pod answers that listens inside of the pod alone.
func forwarded(ctx context.Context, namespace, pod, port, path string) (string, error) {
	forward := exec.CommandContext(ctx, "kubectl", "port-forward", "-n", namespace, "pod/"+pod, ":"+port)
	output, err := forward.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := forward.Start(); err != nil {
		return "", err
	}
	defer func() { _ = forward.Process.Kill(); _ = forward.Wait() }()
	line, err := bufio.NewReader(output).ReadString('\n')
	match := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(line)
	if match == "" {
		return "", fmt.Errorf("kubectl port-forward says %q: %w", line, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+match+path, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}
