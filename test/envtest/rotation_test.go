package envtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
)

// One private CA replaces another, an issuer of the user's own replaces that, and back,
// with the real cert-manager: every node trusts every other one all the time.
func TestChangeOfCA(t *testing.T) {
	namespace := newNamespace(t)
	create(t, object(t, namespace, minimal))
	startManager(t)
	n, p := startNodes(t, namespace), startProbe(t, namespace)
	n.until(t, p, "at first", n.issuedBy("chat-ca", "chat-ca"))

	rotated := naming.Of(get(t, clusterIn(namespace)), naming.DefaultDomain).CA("2026-11")
	reports := watchRotation(t, namespace)
	patchTLS(t, namespace, `{"ca":{"rotationID":"2026-11"}}`)
	n.until(t, p, "rotated", n.issuedBy(rotated, rotated))
	reports.passThrough(t, "CA IssuingCanary", "CA WideningTrust", "CA Reissuing", "CA ShrinkingTrust", "CA ProvingRefusal", "")
	if n.widest != 2 || n.accepted == 0 || n.refused == 0 {
		t.Errorf("a node trusted %d CAs at most; %d canaries were accepted and %d refused", n.widest, n.accepted, n.refused)
	}

	makeIssuer(t, namespace, "corp")
	patchTLS(t, namespace, `{"ca":{"rotationID":null},"issuerRef":{"name":"corp"}}`)
	n.until(t, p, "by the user's issuer", n.issuedBy("corp"))

	patchTLS(t, namespace, `{"issuerRef":null}`)
	n.until(t, p, "by a private CA again", n.issuedBy("chat-ca", "chat-ca"))
}

// The cookie is not rotated while a node is not verified with the one that it has.
func TestCookieRotation(t *testing.T) {
	namespace := newNamespace(t)
	create(t, object(t, namespace, minimal))
	startManager(t)
	n, p := startNodes(t, namespace), startProbe(t, namespace)
	n.until(t, p, "at first", n.issuedBy("chat-ca", "chat-ca"))

	n.broken, n.ready = "chat-1", false
	n.steps(t, p, 1)
	before := cookieOf(t, namespace)
	reports := watchRotation(t, namespace)
	patchSpec(t, namespace, func(spec *v1alpha1.ErlangClusterSpec) { spec.Cookie.RotationID = "2026-11" })
	reports.expect(t, "Cookie AwaitingNodes")
	n.broken = ""
	n.until(t, p, "with another cookie", func(ctx context.Context) error {
		secret, err := read(ctx, &corev1.Secret{ObjectMeta: named(namespace, "chat-cookie")})
		if err == nil && (string(secret.Data[naming.CookieKey]) == before || secret.Data[naming.PreviousCookieKey] != nil) {
			err = errors.New("the former cookie is there")
		}
		return err
	})
	reports.passThrough(t, "Cookie DistributingCookie", "Cookie ChangingCookie", "Cookie DroppingCookie", "")
}

// rotationWatch receives each phase that status.rotation shows, with its credential, and
// an empty text when a rotation is over.
type rotationWatch chan string

func watchRotation(t *testing.T, namespace string) rotationWatch {
	t.Helper()
	watcher := must(client.NewWithWatch(environment.Config, client.Options{Scheme: scheme}))(t)
	changes := must(watcher.Watch(t.Context(), &v1alpha1.ErlangClusterList{}, client.InNamespace(namespace)))(t)
	t.Cleanup(changes.Stop)
	reports, last := make(rotationWatch, 100), ""
	go func() {
		defer close(reports)
		for change := range changes.ResultChan() {
			cluster, ok := change.Object.(*v1alpha1.ErlangCluster)
			if !ok {
				return
			}
			shown := ""
			for _, rotation := range cluster.Status.Rotation {
				shown = fmt.Sprint(rotation.Credential, " ", rotation.Phase)
			}
			if shown != last {
				reports <- shown
			}
			last = shown
		}
	}()
	return reports
}

// expect requires that these phases are shown next.
func (reports rotationWatch) expect(t *testing.T, phases ...string) {
	t.Helper()
	for _, want := range phases {
		select {
		case got, open := <-reports:
			if !open || got != want {
				t.Fatalf("status.rotation shows %q, want %q", got, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("status.rotation does not show %q", want)
		}
	}
}

// passThrough requires that these phases are shown next, up to the last. One of them that ends
// between two passes is not shown, and the one before is shown again if cert-manager issues a
// certificate once more.
func (reports rotationWatch) passThrough(t *testing.T, phases ...string) {
	t.Helper()
	for reached := 0; ; {
		select {
		case got, open := <-reports:
			at := slices.Index(phases, got)
			if !open || at < max(0, reached-1) {
				t.Fatalf("status.rotation shows %q after %q, want one of %q", got, phases[reached], phases)
			}
			if at == len(phases)-1 {
				return
			}
			reached = max(reached, at)
		case <-time.After(time.Minute):
			t.Fatalf("status.rotation does not show %q", phases)
		}
	}
}
