package envtest

import (
	"testing"

	"github.com/erlang-operator/erlang-operator/certs/naming"
)

// One private CA replaces another, an issuer of the user's own replaces that, and back,
// with the real cert-manager: every node trusts every other one all the time.
func TestChangeOfCA(t *testing.T) {
	namespace := newNamespace(t)
	create(t, object(t, namespace, minimal))
	manager := startManager(t)
	n, p := startNodes(t, namespace), startProbe(t, namespace)
	n.until(t, p, "at first", n.issuedBy("chat-ca", "chat-ca"))

	names := naming.Of(get(t, clusterIn(namespace)), naming.DefaultDomain)
	patchTLS(t, namespace, `{"ca":{"rotationID":"2026-11"}}`)
	n.until(t, p, "rotated", n.issuedBy(names.CA("2026-11"), names.CA("2026-11")))
	if n.widest != 2 || n.accepted == 0 || n.refused == 0 {
		t.Errorf("a node trusted %d CAs at most; %d canaries were accepted and %d refused", n.widest, n.accepted, n.refused)
	}

	// The manager is killed during the next one, and another continues.
	patchTLS(t, namespace, `{"ca":{"rotationID":"2026-12"}}`)
	n.steps(t, p, 5)
	manager.kill(t)
	n.steps(t, p, 1)
	startManager(t)
	n.until(t, p, "rotated by two managers", n.issuedBy(names.CA("2026-12"), names.CA("2026-12")))

	makeIssuer(t, namespace, "corp")
	patchTLS(t, namespace, `{"ca":{"rotationID":null},"issuerRef":{"name":"corp"}}`)
	n.until(t, p, "by the user's issuer", n.issuedBy("corp"))

	patchTLS(t, namespace, `{"issuerRef":null}`)
	n.until(t, p, "by a private CA again", n.issuedBy("chat-ca", "chat-ca"))
}
