//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// What can be judged without a cluster is refused at apply, by a message that names
// the field.
func TestRefusedAtApply(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	for _, test := range []struct{ name, manifest, want string }{
		{"ports reversed", manifest(ns, "chat", 3, "27", "distribution: {ports: {min: 9109, max: 9100}}"), "distribution.ports.min must not be greater"},
		{"name too long", manifest(ns, strings.Repeat("a", 41), 3, "27"), "metadata.name must be a DNS label of at most 40 characters"},
		{"no such container", manifest(ns, "chat", 3, "27", "container: beam"), "container must name one of template.spec.containers"},
		{"host network", strings.Replace(manifest(ns, "chat", 3, "27"), "containers:", "hostNetwork: true\n      containers:", 1), "hostNetwork must not be true"},
		{"a field that is not there", manifest(ns, "chat", 3, "27", "replica: 4"), `unknown field "spec.replica"`},
	} {
		err := apply(t, test.manifest)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

// What needs a look at the cluster is Stalled, says what and how to mend it, and
// recovers when it is mended, with nothing deleted.
func TestStalledAndRecovers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, extra, reason string
		says                []string
		mend                func(t *testing.T, namespace string)
	}{
		{
			name: "cookie", extra: "cookie: {secretKeyRef: {name: mine, key: it}}", reason: v1alpha1.ReasonCookieSecretNotFound,
			says: []string{"cookie.secretKeyRef", "mine", "Create it"},
			mend: func(t *testing.T, namespace string) {
				must(t, "create", "secret", "generic", "mine", "-n", namespace, "--from-literal=it=AnImportedCookie123")
			},
		},
		{
			name: "issuer", extra: "tls: {issuerRef: {name: corp}}", reason: v1alpha1.ReasonIssuerNotFound,
			says: []string{"tls.issuerRef", "corp", "Create it"},
			mend: func(t *testing.T, namespace string) {
				if err := apply(t, issuer(namespace, "corp")); err != nil {
					t.Fatal(err)
				}
			},
		},
		{
			name: "flags", extra: "networkPolicy: {mode: Managed}", reason: v1alpha1.ReasonRejected,
			says: []string{"template.spec.containers[node].env[ERL_FLAGS]", "-proto_dist", "Remove it"},
			mend: func(t *testing.T, namespace string) {
				if err := apply(t, manifest(namespace, "chat", 2, "27", "networkPolicy: {mode: Managed}")); err != nil {
					t.Fatal(err)
				}
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t)
			text := manifest(ns, "chat", 2, "27", test.extra)
			if test.name == "flags" {
				text += "        env: [{name: ERL_FLAGS, value: -proto_dist inet_tcp}]\n"
			}
			if err := apply(t, text); err != nil {
				t.Fatal(err)
			}
			c := cluster{t, ns, "chat"}
			stalled := c.awaitCondition(30*time.Second, v1alpha1.ConditionStalled, metav1.ConditionTrue, test.reason)
			for _, want := range test.says {
				if !strings.Contains(stalled.Message, want) {
					t.Errorf("the message does not say %q: %s", want, stalled.Message)
				}
			}
			t.Logf("Stalled: %s", stalled.Message)
			test.mend(t, ns)
			c.awaitWhole(2)
		})
	}
}

// issuer is a CA of the user's own.
func issuer(namespace, name string) string {
	return strings.NewReplacer("NAMESPACE", namespace, "NAME", name).Replace(`
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: NAME-root, namespace: NAMESPACE}
spec: {selfSigned: {}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: NAME-root, namespace: NAMESPACE}
spec:
  isCA: true
  commonName: NAME
  secretName: NAME-root
  privateKey: {algorithm: ECDSA, size: 256}
  issuerRef: {name: NAME-root, kind: Issuer, group: cert-manager.io}
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: NAME, namespace: NAMESPACE}
spec: {ca: {secretName: NAME-root}}
`)
}
