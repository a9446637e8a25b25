package envtest

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
)

// An expectedPhase is a phase of a rotation, and what it may wait for meanwhile.
type expectedPhase struct {
	credential v1alpha1.RotatingCredential
	phase      v1alpha1.RotationPhase
	waitingFor string
}

// What `kubectl get erlangcluster -o yaml` shows of a rotation of the CA, and then of the
// cookie.
var (
	caPhases = []expectedPhase{
		{v1alpha1.RotatingCA, v1alpha1.RotationIssuingCanary, `^cert-manager to issue certificate chat-probe-canary-tls by Issuer chat-ca-05e01bd6`},
		{v1alpha1.RotatingCA, v1alpha1.RotationWideningTrust, `^(the trust bundle to have the CA of Issuer chat-ca-05e01bd6|chat-[0-2] to accept the new CA)$`},
		{v1alpha1.RotatingCA, v1alpha1.RotationReissuing, `^(the certificates to be reissued by the new CA, which every node accepts$|cert-manager to issue certificate chat-(probe|[0-2])-tls by Issuer chat-ca-05e01bd6|chat-[0-2] to serve its certificate of the new CA$)`},
		{v1alpha1.RotatingCA, v1alpha1.RotationShrinkingTrust, `^the trust bundle to lose every CA but the one that signs all certificates$`},
		{v1alpha1.RotatingCA, v1alpha1.RotationProvingRefusal, `^chat-[0-2] to refuse the old CA$`},
	}
	cookiePhases = []expectedPhase{
		{v1alpha1.RotatingCookie, v1alpha1.RotationAwaitingNodes, `^chat-1 to be verified with the cookie that it has$`},
		{v1alpha1.RotatingCookie, v1alpha1.RotationDistributingCookie, `^the new cookie to be distributed beside the one that every node is verified with$`},
		{v1alpha1.RotatingCookie, v1alpha1.RotationChangingCookie, `^chat-[0-2] to be verified with the new cookie$`},
		{v1alpha1.RotatingCookie, v1alpha1.RotationDroppingCookie, `^the former cookie to be dropped, because every node is verified with the new one$`},
	}
)

func TestRotationStatusPhaseByPhase(t *testing.T) {
	namespace := newNamespace(t)
	create(t, object(t, namespace, minimal))
	startManager(t)
	n, p := startNodes(t, namespace), startProbe(t, namespace)
	n.until(t, p, "at first", n.issuedBy("chat-ca", "chat-ca"))

	reports := watchRotation(t, namespace)
	patchTLS(t, namespace, `{"ca":{"rotationID":"2026-11"}}`)
	n.until(t, p, "rotated", n.issuedBy("chat-ca-05e01bd6", "chat-ca-05e01bd6"))
	reports.expect(t, caPhases)

	// A node that is not verified holds the rotation of the cookie up.
	n.broken, n.ready = "chat-1", false
	n.steps(t, p, 1)
	before := cookieOf(t, namespace)
	if err := admin.Patch(t.Context(), clusterIn(namespace), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"cookie":{"rotationID":"2026-11"}}}`))); err != nil {
		t.Fatal(err)
	}
	reports.await(t, v1alpha1.RotationAwaitingNodes)
	n.broken = ""
	n.until(t, p, "with another cookie", func(ctx context.Context) error {
		secret, err := read(ctx, &corev1.Secret{ObjectMeta: named(namespace, "chat-cookie")})
		if err != nil {
			return err
		}
		if string(secret.Data[naming.CookieKey]) == before || secret.Data[naming.PreviousCookieKey] != nil {
			return fmt.Errorf("Secret %s has the keys %v", secret.Name, slices.Collect(maps.Keys(secret.Data)))
		}
		return nil
	})
	reports.expect(t, cookiePhases)
}

// rotationWatch receives every change of status.rotation.
type rotationWatch chan v1alpha1.RotationStatus

func watchRotation(t *testing.T, namespace string) rotationWatch {
	t.Helper()
	watcher, err := client.NewWithWatch(environment.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	changes, err := watcher.Watch(t.Context(), &v1alpha1.ErlangClusterList{}, client.InNamespace(namespace))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(changes.Stop)
	reports := make(rotationWatch, 1000)
	go func() {
		defer close(reports)
		for change := range changes.ResultChan() {
			cluster, ok := change.Object.(*v1alpha1.ErlangCluster)
			if !ok {
				return
			}
			if len(cluster.Status.Rotation) == 0 {
				reports <- v1alpha1.RotationStatus{Phase: v1alpha1.RotationSettled}
			}
			for _, status := range cluster.Status.Rotation {
				reports <- status
			}
		}
	}()
	return reports
}

// await waits until a phase is reported. The reports before it are dropped.
func (reports rotationWatch) await(t *testing.T, phase v1alpha1.RotationPhase) {
	t.Helper()
	for {
		if status := reports.next(t); status.Phase == phase {
			reports <- status
			return
		}
	}
}

func (reports rotationWatch) next(t *testing.T) v1alpha1.RotationStatus {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	select {
	case status, open := <-reports:
		if !open {
			t.Fatal("the watch of the ErlangCluster ended")
		}
		return status
	case <-ctx.Done():
		t.Fatal("nothing more is reported of the rotation")
		panic("unreachable")
	}
}

// expect requires that the phases are reported one after the other, each with the
// time at which it began, and that the rotation is over then.
func (reports rotationWatch) expect(t *testing.T, phases []expectedPhase) {
	t.Helper()
	at, since := -1, time.Time{}
	for {
		status := reports.next(t)
		switch {
		case status.Phase == v1alpha1.RotationSettled && at < 0:
			continue
		case status.Phase == v1alpha1.RotationSettled:
			if at != len(phases)-1 {
				t.Errorf("the rotation ends after %s", phases[at].phase)
			}
			return
		case at < 0 || status.Phase != phases[at].phase:
			at++
			if at == len(phases) || status.Phase != phases[at].phase || status.Since.Time.Before(since) {
				t.Fatalf("phase %d: %+v, since %s", at+1, status, status.Since)
			}
			since = status.Since.Time
			t.Logf("%s %s: %s", status.Credential, status.Phase, status.WaitingFor)
		}
		if !regexp.MustCompile(phases[at].waitingFor).MatchString(status.WaitingFor) || status.Credential != phases[at].credential ||
			status.Since.Sub(since).Abs() > 2*time.Second { // A late cache shows the manager the phase before.
			t.Errorf("%s: %+v, since %s, want %s", phases[at].phase, status, status.Since, since)
		}
	}
}
