//go:build e2e

package e2e

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// What depends on other objects makes the cluster Stalled, with a message that names the
// field and the remedy. When that is applied, the cluster becomes Ready.
func TestStalledAndFixed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		extra, env, reason string
		contains           []string
		fix                func(t *testing.T, namespace string)
	}{
		"cookie": {
			extra: "cookie: {secretKeyRef: {name: mine, key: it}}", reason: v1alpha1.ReasonCookieSecretNotFound,
			contains: []string{"cookie.secretKeyRef", "mine", "Create it"},
			fix: func(t *testing.T, namespace string) {
				kubectl.Must(t, "create", "secret", "generic", "mine", "-n", namespace, "--from-literal=it=AnImportedCookie123")
			},
		},
		"issuer": {
			extra: "tls: {issuerRef: {name: corp}}", reason: v1alpha1.ReasonIssuerNotFound,
			contains: []string{"tls.issuerRef", "corp", "Create it"},
			fix:      func(t *testing.T, namespace string) { kubectl.MustApply(t, harness.Issuer(namespace, "corp")) },
		},
		"flags": {
			env: "        env: [{name: ERL_FLAGS, value: -proto_dist inet_tcp}]\n", reason: v1alpha1.ReasonRejected,
			contains: []string{"template.spec.containers[node].env[ERL_FLAGS]", "-proto_dist", "Remove it"},
			fix: func(t *testing.T, namespace string) {
				kubectl.MustApply(t, harness.Manifest(namespace, "chat", 2, "27"))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := harness.Cluster{Namespace: harness.Namespace(t), Name: "chat"}
			kubectl.MustApply(t, harness.Manifest(c.Namespace, c.Name, 2, "27", test.extra)+test.env)
			c.AwaitCondition(t, v1alpha1.ConditionStalled, metav1.ConditionTrue, test.reason, test.contains...)
			test.fix(t, c.Namespace)
			c.AwaitReady(t, 2)
		})
	}
}
