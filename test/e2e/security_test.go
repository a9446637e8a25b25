//go:build e2e

package e2e

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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

// The probe has permissions for the objects that it needs, by name, and for no others.
func TestProbePermissions(t *testing.T) {
	t.Parallel()
	ns := harness.Namespace(t)
	c := harness.Start(t, ns, "chat", 1, "27")
	got := map[string]bool{}
	for _, question := range []string{
		"get secret/chat-cookie", "get secret/chat-probe-tls", "get configmap/chat-distribution", "get erlangcluster/chat", "patch erlangcluster/chat",
		"get secret/chat-0-tls", "get secret/chat-ca", "list secrets", "update secret/chat-cookie", "list pods", "create pods", "get erlangcluster/other",
	} {
		verb, resource, _ := strings.Cut(question, " ")
		// can-i fails when the answer is no.
		answer, _ := kubectl.Run(t.Context(), "auth", "can-i", verb, resource, "-n", ns, "--as=system:serviceaccount:"+ns+":"+c.Name+"-probe")
		if strings.TrimSpace(answer) == "yes" {
			got[question] = true
		}
	}
	want := map[string]bool{
		"get secret/chat-cookie": true, "get secret/chat-probe-tls": true, "get configmap/chat-distribution": true, "get erlangcluster/chat": true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("permissions of the probe (-want +got):\n%s", diff)
	}
}
