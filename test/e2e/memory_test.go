//go:build e2e

package e2e

import (
	"regexp"
	"strconv"
	"testing"

	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// The garbage collector works harder before a container reaches its limit: Go's memory
// limit is nine tenths of it.
func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Namespace(t), "chat", 1, "27")
	const selector = "erlang-operator.dev/cluster=chat,erlang-operator.dev/component=probe"
	pod := kubectl.Must(t, "get", "pods", "-n", c.Namespace, "-l", selector, "-o", "jsonpath={.items[0].metadata.name}")
	limit := kubectl.Must(t, "get", "pod", pod, "-n", c.Namespace, "-o", "jsonpath={.spec.containers[0].resources.limits.memory}")
	if limit != "128Mi" {
		t.Fatalf("the limit of the probe is %s: change this test", limit)
	}
	metrics := kubectl.Must(t, "get", "--raw", "/api/v1/namespaces/"+c.Namespace+"/pods/"+pod+":8080/proxy/metrics")
	match := regexp.MustCompile(`(?m)^go_gc_gomemlimit_bytes (\S+)$`).FindStringSubmatch(metrics)
	if match == nil {
		t.Fatal("the probe has no metric go_gc_gomemlimit_bytes")
	}
	got, err := strconv.ParseFloat(match[1], 64)
	if want := 0.9 * (128 << 20); err != nil || got < want-1 || got > want {
		t.Errorf("Go's memory limit is %s bytes (%v), want %.0f", match[1], err, want)
	}
}
