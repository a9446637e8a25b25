package envtest

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
)

// A private CA that is about to expire is replaced as if a rotation had been requested,
// with the real cert-manager, and by two managers.
func TestExpiringCAIsReplaced(t *testing.T) {
	namespace := newNamespace(t)
	create(t, merged(t, object(t, namespace, minimal), `spec: {tls: {certificate: {duration: 1h, renewBefore: 10m}, ca: {duration: 4h}}}`))
	manager := startManager(t)
	n, p := startNodes(t, namespace), startProbe(t, namespace)
	n.until(t, p, "at first", n.issuedBy("chat-ca", "chat-ca"))

	age(t, namespace, "chat-ca", 3*time.Hour+20*time.Minute)
	n.steps(t, p, 5)
	manager.kill(t)
	n.steps(t, p, 1)
	startManager(t)
	n.until(t, p, "replaced", n.issuedBy("chat-ca-r2", "chat-ca-r2"))
	if n.widest != 2 || n.accepted == 0 || n.refused == 0 {
		t.Errorf("a node trusted %d CAs at most; %d canaries were accepted and %d refused", n.widest, n.accepted, n.refused)
	}
}

// A private CA whose Secret was deleted has another key when cert-manager has made it
// again. Its successor replaces it at every node, and the cluster stays Ready.
func TestLostCAIsReplaced(t *testing.T) {
	namespace := newNamespace(t)
	create(t, object(t, namespace, minimal))
	startManager(t)
	n, p := startNodes(t, namespace), startProbe(t, namespace)
	n.until(t, p, "at first", n.issuedBy("chat-ca", "chat-ca"))

	reports, before := watchRotation(t, namespace), eventNotes(t, namespace, v1alpha1.ReasonRotatingCA)
	check(t, admin.Delete(t.Context(), &corev1.Secret{ObjectMeta: named(namespace, "chat-ca")}))
	n.until(t, p, "replaced", n.issuedBy("chat-ca-r2", "chat-ca-r2"))
	reports.passThrough(t, "CA IssuingCanary", "CA WideningTrust", "CA Reissuing", "CA ShrinkingTrust", "CA ProvingRefusal", "")
	if n.accepted == 0 || n.refused == 0 {
		t.Errorf("%d canaries were accepted and %d refused", n.accepted, n.refused)
	}
	expectEvents(t, namespace, v1alpha1.ReasonRotatingCA, before, "The private CA chat-ca has another key", "The rotation of the CA is complete: chat-ca-r2")
}

// expectEvents requires that exactly these events were recorded for a reason, once each, besides those
// before: a CA that was issued twice is rotated, too.
func expectEvents(t *testing.T, namespace, reason string, before []string, beginnings ...string) {
	t.Helper()
	settle(t)
	notes := slices.DeleteFunc(eventNotes(t, namespace, reason), func(note string) bool { return slices.Contains(before, note) })
	if !slices.EqualFunc(beginnings, notes, func(beginning, note string) bool { return strings.HasPrefix(note, beginning) }) {
		t.Errorf("the events are %q", notes)
	}
}

// eventNotes are what was recorded for a reason, each once, sorted.
func eventNotes(t *testing.T, namespace, reason string) (notes []string) {
	t.Helper()
	var events eventsv1.EventList
	check(t, admin.List(t.Context(), &events, client.InNamespace(namespace)))
	for _, event := range events.Items {
		if event.Reason == reason {
			notes = append(notes, event.Note)
		}
		if event.Reason == reason && event.Series != nil {
			t.Errorf("recorded %d times: %s", event.Series.Count, event.Note)
		}
	}
	slices.Sort(notes)
	return notes
}

// age makes a CA older, with the same key.
func age(t *testing.T, namespace, ca string, by time.Duration) {
	t.Helper()
	secret := get(t, &corev1.Secret{ObjectMeta: named(namespace, ca)})
	block, _ := pem.Decode(secret.Data[corev1.TLSPrivateKeyKey])
	key := must(x509.ParseECPrivateKey(block.Bytes))(t)
	certificate := must(storedCertificate(t.Context(), namespace, ca))(t).X509
	certificate.NotBefore, certificate.NotAfter = certificate.NotBefore.Add(-by), certificate.NotAfter.Add(-by)
	der := must(x509.CreateCertificate(rand.Reader, certificate, certificate, key.Public(), crypto.Signer(key)))(t)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	secret.Data[corev1.TLSCertKey], secret.Data[naming.AuthorityKey] = text, text
	check(t, admin.Update(t.Context(), secret))
}
