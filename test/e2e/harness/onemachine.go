package harness

import (
	"os"
	"testing"
)

// OneMachine skips a test that needs what only the Kubernetes on one machine of this repository
// has, where the tests run on another: its machines as processes of this host, and images that
// are in no registry.
func OneMachine(t testing.TB) {
	t.Helper()
	if other := os.Getenv("E2E_KUBECONFIG"); other != "" {
		t.Skipf("needs the Kubernetes on one machine of this repository, not that of E2E_KUBECONFIG=%s", other)
	}
}
