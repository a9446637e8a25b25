// Package kubectl runs kubectl, as users do.
package kubectl

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Run runs kubectl and returns what it prints.
func Run(ctx context.Context, args ...string) (string, error) { return RunWith(ctx, "", args...) }

// RunWith is Run with a standard input.
func RunWith(ctx context.Context, stdin string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, "kubectl", args...)
	command.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	if err := command.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

// Get reads one object, or a list of them, into a value.
func Get(ctx context.Context, into any, args ...string) error {
	out, err := Run(ctx, append([]string{"get", "-o", "json"}, args...)...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), into)
}

// Apply applies a manifest.
func Apply(ctx context.Context, manifest string, args ...string) error {
	_, err := RunWith(ctx, manifest, append([]string{"apply", "-f", "-"}, args...)...)
	return err
}

// Must is Run; a failure ends the test.
func Must(t testing.TB, args ...string) string {
	t.Helper()
	return must(t, "", args...)
}

// MustApply is Apply; a failure ends the test.
func MustApply(t testing.TB, manifest string) {
	t.Helper()
	must(t, manifest, "apply", "-f", "-")
}

// transient is what kubectl says where the machine was too busy to answer in time.
var transient = regexp.MustCompile("TLS handshake timeout|etcdserver: |error dialing backend")

func must(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	for tries := 1; ; tries++ {
		out, err := RunWith(t.Context(), stdin, args...)
		switch {
		case err == nil:
			return out
		case tries == 5 || !transient.MatchString(err.Error()):
			t.Fatal(err)
		}
		t.Logf("tried again: %v", err)
		time.Sleep(time.Second)
	}
}

// Cleanup runs kubectl when the test has ended.
func Cleanup(t testing.TB, args ...string) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 6*time.Minute)
		defer cancel()
		if _, err := Run(ctx, args...); err != nil {
			t.Error(err)
		}
	})
}
