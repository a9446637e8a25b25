//go:build e2e

package e2e

import (
	"strings"
	"testing"

	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// Manager, probe, and a member whose template allows it, run under the restricted Pod
// Security Standard.
func TestRestrictedPodSecurity(t *testing.T) {
	t.Parallel()
	enforced := func(namespace string) string {
		return kubectl.Must(t, "get", "namespace", namespace, "-o", `jsonpath={.metadata.labels.pod-security\.kubernetes\.io/enforce}`)
	}
	if got := enforced("erlang-operator-system"); got != "restricted" {
		t.Errorf("the manager's namespace enforces %q, want restricted", got)
	}
	c := harness.Cluster{Namespace: harness.Namespace(t), Name: "chat"}
	kubectl.Must(t, "label", "namespace", c.Namespace, "pod-security.kubernetes.io/enforce=restricted")
	text := strings.Replace(harness.Manifest(c.Namespace, "chat", 2, "27"), "      containers:", `      securityContext:
        runAsNonRoot: true
        seccompProfile: {type: RuntimeDefault}
      containers:`, 1) + `        securityContext:
          allowPrivilegeEscalation: false
          capabilities: {drop: [ALL]}
`
	kubectl.MustApply(t, text)
	c.AwaitReady(t, 2)
}
