//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// kubectl runs a command as a user would, and gives what it prints.
func kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, "kubectl", args...)
	command.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	if err := command.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

// must is kubectl where a failure ends the test.
func must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := kubectl(t.Context(), "", args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// apply applies a manifest, and gives the API server's refusal if it is one.
func apply(t *testing.T, manifest string) error {
	t.Helper()
	_, err := kubectl(t.Context(), manifest, "apply", "-f", "-")
	return err
}

// get reads objects into a value.
func get(t *testing.T, into any, args ...string) error {
	t.Helper()
	out, err := kubectl(t.Context(), "", append([]string{"get", "-o", "json"}, args...)...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), into)
}

// eventually looks until it sees what it wants, and fails with what it saw last.
func eventually(t *testing.T, within time.Duration, what string, look func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := look()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %v", what, within, err)
		}
		time.Sleep(500 * time.Millisecond) // between two looks
	}
}

// namespace makes a namespace for one test, and removes it afterwards. When the
// test has failed, it first shows what there was. No name comes twice, so an
// interrupted run is in nobody's way.
func namespace(t *testing.T) string {
	t.Helper()
	test := strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(strings.TrimPrefix(t.Name(), "Test")))
	name := fmt.Sprintf("e2e-%s-%s", test, strings.ToLower(rand.Text()[:5]))
	if _, err := kubectl(t.Context(), "", "create", "namespace", name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		defer cancel()
		if t.Failed() {
			for _, show := range [][]string{
				{"get", "erlangclusters,pods,certificates,statefulsets,deployments", "-o", "wide"},
				{"describe", "erlangclusters"},
				{"get", "events", "--sort-by=.lastTimestamp"},
			} {
				out, _ := kubectl(ctx, "", append(show, "-n", name)...)
				t.Logf("%s:\n%s", strings.Join(show, " "), out)
			}
		}
		if _, err := kubectl(ctx, "", "delete", "namespace", name, "--timeout=150s"); err != nil {
			t.Error(err)
		}
	})
	return name
}

// mustClean is must for cleaning up, when the test's own context has ended.
func mustClean(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	if _, err := kubectl(ctx, "", args...); err != nil {
		t.Error(err)
	}
}
