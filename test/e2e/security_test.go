//go:build e2e

package e2e

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Manager and probe, and a member that is written so, run where Pod Security is
// restricted.
func TestRestrictedPodSecurity(t *testing.T) {
	t.Parallel()
	enforced := func(namespace string) string {
		return must(t, "get", "namespace", namespace, "-o", `jsonpath={.metadata.labels.pod-security\.kubernetes\.io/enforce}`)
	}
	if got := enforced("erlang-operator-system"); got != "restricted" {
		t.Errorf("the manager's namespace enforces %q, want restricted", got)
	}
	ns := namespace(t)
	must(t, "label", "namespace", ns, "pod-security.kubernetes.io/enforce=restricted")
	text := strings.Replace(manifest(ns, "chat", 2, "27"), "      containers:", `      securityContext:
        runAsNonRoot: true
        seccompProfile: {type: RuntimeDefault}
      containers:`, 1) + `        securityContext:
          allowPrivilegeEscalation: false
          capabilities: {drop: [ALL]}
`
	if err := apply(t, text); err != nil {
		t.Fatal(err)
	}
	cluster{t, ns, "chat"}.awaitWhole(2)
}

// The probe may touch what it needs, by name, and nothing else.
func TestProbePermissions(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	c := start(t, ns, "chat", 1, "27")
	allowed := func(verb, resource string) bool {
		out, _ := kubectl(t.Context(), "", "auth", "can-i", verb, resource, "-n", ns,
			"--as=system:serviceaccount:"+ns+":"+c.name+"-probe")
		return strings.TrimSpace(out) == "yes"
	}
	got := map[string]bool{}
	for _, question := range []string{
		"get secret/chat-cookie", "get secret/chat-probe-tls", "get configmap/chat-distribution", "get erlangcluster/chat", "patch erlangcluster/chat",
		"get secret/chat-0-tls", "get secret/chat-ca", "list secrets", "update secret/chat-cookie", "list pods", "create pods", "get erlangcluster/other",
	} {
		verb, resource, _ := strings.Cut(question, " ")
		if allowed(verb, resource) {
			got[question] = true
		}
	}
	want := map[string]bool{
		"get secret/chat-cookie": true, "get secret/chat-probe-tls": true, "get configmap/chat-distribution": true, "get erlangcluster/chat": true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the probe may (-want +got):\n%s", diff)
	}
}
