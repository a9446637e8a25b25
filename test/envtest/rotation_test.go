package envtest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/naming"
)

// nodes stand for Erlang nodes as far as certificates go: each works with what it read
// last, and reads anew one at a time, so that they are out of step most of the time.
type nodes struct {
	namespace string
	pods      []*corev1.Pod
	leaves    []certs.Certificate
	trusts    []certs.Trust
	turn      int
	ready     bool // once, and so for ever
	widest    int  // the most CAs that a node trusted
	canaries  int  // that a node accepted
	refused   int  // that a node refused
	// broken is a pod whose node is not verified.
	broken string
	// cookieVersion is the version of the cookie's Secret that the probe has read.
	cookieVersion string
}

// read has a node read its files.
func (n *nodes) read(t *testing.T, i int) {
	t.Helper()
	n.leaves[i] = leafIn(t, n.namespace, n.pods[i].Name+"-tls")
	var err error
	distribution := get(t, &corev1.ConfigMap{ObjectMeta: named(n.namespace, "chat-distribution")})
	if n.trusts[i], err = certs.ParseTrust([]byte(distribution.Data[naming.TrustKey])); err != nil {
		t.Fatal(err)
	}
}

func leafIn(t *testing.T, namespace, name string) certs.Certificate {
	t.Helper()
	secret := get(t, &corev1.Secret{ObjectMeta: named(namespace, name)})
	leaf, err := certs.ParseCertificate(secret.Data[corev1.TLSCertKey], secret.Data[naming.AuthorityKey])
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

// step has the next node read its files, demands that every node can connect to every
// other one, and says what a probe would see.
func (n *nodes) step(t *testing.T, p *probe) {
	t.Helper()
	collectRequests(t, n.namespace)
	n.read(t, n.turn%len(n.pods))
	n.turn++
	probe := leafIn(t, n.namespace, "chat-probe-tls")
	for i, trust := range n.trusts {
		n.widest = max(n.widest, len(trust.Identities()))
		for j, leaf := range n.leaves {
			if trust.IssuingCA(leaf.X509) == nil {
				t.Fatalf("%s does not trust %s", n.pods[i].Name, n.pods[j].Name)
			}
		}
		if trust.IssuingCA(probe.X509) == nil {
			t.Fatalf("%s does not trust the probe", n.pods[i].Name)
		}
	}
	mesh := wholeMesh(n.namespace, n.pods)
	mesh.ObservedGeneration = get(t, clusterIn(n.namespace)).Generation
	for i := range mesh.Nodes {
		leaf := n.leaves[i]
		mesh.Nodes[i].CertificateSerial = certs.Serial(leaf.X509)
		mesh.Nodes[i].CertificateAuthority = certs.Identity(leaf.IssuingCA(n.trusts[i]))
		mesh.Nodes[i].CertificateNotAfter = &metav1.Time{Time: leaf.X509.NotAfter}
		if there, err := exists(t.Context(), &corev1.Secret{ObjectMeta: named(n.namespace, "chat-probe-canary-tls")}); err != nil {
			t.Fatal(err)
		} else if there {
			canary := leafIn(t, n.namespace, "chat-probe-canary-tls")
			accepted := n.trusts[i].IssuingCA(canary.X509) != nil
			result := v1alpha1.CanaryRefused
			if accepted {
				result = v1alpha1.CanaryAccepted
				n.canaries++
			} else {
				n.refused++
			}
			mesh.Nodes[i].Canary = &v1alpha1.CanaryStatus{CertificateAuthority: certs.Identity(canary.IssuingCA(certs.Trust{})), Result: result}
		}
	}
	n.verify(t, mesh)
	p.says(t, mesh)
}

// until takes steps until the cluster is Ready, nothing is under way, and something is
// so.
func (n *nodes) until(t *testing.T, p *probe, what string, so func(cluster *v1alpha1.ErlangCluster) error) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		n.step(t, p)
		cluster := get(t, clusterIn(n.namespace))
		err := so(cluster)
		if err == nil && cluster.Status.ObservedGeneration == cluster.Generation &&
			meta.IsStatusConditionTrue(cluster.Status.Conditions, v1alpha1.ConditionReady) &&
			!meta.IsStatusConditionTrue(cluster.Status.Conditions, v1alpha1.ConditionReconciling) {
			return
		}
		ready := meta.FindStatusCondition(cluster.Status.Conditions, v1alpha1.ConditionReady)
		if ready != nil && ready.Status == metav1.ConditionTrue {
			n.ready = true
		} else if n.ready {
			t.Errorf("%s: Ready is %s, %s: %s", what, ready.Status, ready.Reason, ready.Message)
		}
		if time.Now().After(deadline) {
			canary := certificate(n.namespace, "chat-probe-canary-tls")
			if there, _ := exists(t.Context(), canary); there {
				t.Logf("the canary is asked of %s: %+v", canary.Spec.IssuerRef.Name, canary.Status)
				secret := get(t, &corev1.Secret{ObjectMeta: named(n.namespace, canary.Name)})
				t.Logf("and stored by %s; the nodes say %+v", secret.Annotations[certmanagerv1.IssuerNameAnnotationKey], cluster.Status.Mesh.Nodes[0].Canary)
			}
			t.Fatalf("%s: %v; %s", what, err, summary(cluster))
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(200 * time.Millisecond): // A node looks at its files now and then.
		}
	}
}

// issuedBy demands that each stored certificate is by an issuer of that name, that the
// nodes trust its CA alone, and that no other private CA, and no canary, is left.
func (n *nodes) issuedBy(t *testing.T, issuer string, cas ...string) func(*v1alpha1.ErlangCluster) error {
	return func(*v1alpha1.ErlangCluster) error {
		for _, name := range []string{"chat-probe-tls", "chat-0-tls", "chat-1-tls", "chat-2-tls"} {
			secret := get(t, &corev1.Secret{ObjectMeta: named(n.namespace, name)})
			if by := secret.Annotations[certmanagerv1.IssuerNameAnnotationKey]; by != issuer {
				return fmt.Errorf("%s is by %s", name, by)
			}
		}
		distribution := get(t, &corev1.ConfigMap{ObjectMeta: named(n.namespace, "chat-distribution")})
		trust, err := certs.ParseTrust([]byte(distribution.Data[naming.TrustKey]))
		if err != nil {
			return err
		}
		leaf := leafIn(t, n.namespace, "chat-0-tls")
		if signer := leaf.IssuingCA(certs.Trust{}); len(trust.Identities()) != 1 || signer == nil || trust.Identities()[0] != certs.Identity(signer) {
			return fmt.Errorf("the nodes trust %v", trust.Identities())
		}
		var left []string
		for _, list := range []client.ObjectList{&certmanagerv1.CertificateList{}, &corev1.SecretList{}} {
			if err := admin.List(t.Context(), list, client.InNamespace(n.namespace), client.HasLabels{v1alpha1.Group + "/cluster"}); err != nil {
				return err
			}
			_ = meta.EachListItem(list, func(item runtime.Object) error {
				name := item.(client.Object).GetName()
				if name == "chat-probe-canary-tls" || len(name) >= 7 && name[:7] == "chat-ca" {
					left = append(left, name)
				}
				return nil
			})
		}
		slices.Sort(left)
		if want := slices.Compact(left); !slices.Equal(want, cas) {
			return fmt.Errorf("there are %v, want %v", want, cas)
		}
		return nil
	}
}

// collectRequests is the garbage collector, which does not run here: the requests of a
// Certificate go with it, or they would be in the way of one of the same name.
func collectRequests(t *testing.T, namespace string) {
	t.Helper()
	var certificates certmanagerv1.CertificateList
	var requests certmanagerv1.CertificateRequestList
	for _, list := range []client.ObjectList{&certificates, &requests} {
		if err := admin.List(t.Context(), list, client.InNamespace(namespace)); err != nil {
			t.Fatal(err)
		}
	}
	for _, request := range requests.Items {
		if !slices.ContainsFunc(certificates.Items, func(c certmanagerv1.Certificate) bool { return metav1.IsControlledBy(&request, &c) }) {
			if err := client.IgnoreNotFound(admin.Delete(t.Context(), &request)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// startNodes starts three pods, and has their nodes read what they are given.
func startNodes(t *testing.T, namespace string) *nodes {
	t.Helper()
	n := &nodes{
		namespace: namespace, pods: startPods(t, awaitStatefulSet(t, namespace, 3), 0, 3),
		leaves: make([]certs.Certificate, 3), trusts: make([]certs.Trust, 3),
	}
	for i := range n.pods {
		n.read(t, i)
	}
	return n
}

// patchTLS changes spec.tls.
func patchTLS(t *testing.T, namespace, patch string) {
	t.Helper()
	if err := admin.Patch(t.Context(), clusterIn(namespace), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"tls":`+patch+`}}`))); err != nil {
		t.Fatal(err)
	}
}

// A CA takes the place of another, and an issuer that of a CA, and back, with the real
// cert-manager: at every moment every node trusts every other one.
func TestChangeOfCA(t *testing.T) {
	namespace := newNamespace(t)
	create(t, object(t, namespace, minimal))
	manager := startManager(t)
	n, p := startNodes(t, namespace), startProbe(t, namespace)
	n.until(t, p, "at first", n.issuedBy(t, "chat-ca", "chat-ca"))

	names := naming.Of(get(t, clusterIn(namespace)), naming.DefaultDomain)
	patchTLS(t, namespace, `{"ca":{"rotationID":"2026-11"}}`)
	n.until(t, p, "rotated", n.issuedBy(t, names.CA("2026-11"), names.CA("2026-11")))
	if n.widest != 2 || n.canaries == 0 || n.refused == 0 {
		t.Errorf("a node trusted %d CAs at most; %d canaries were accepted and %d refused", n.widest, n.canaries, n.refused)
	}

	// Killed in the midst of the next one, another manager goes on.
	patchTLS(t, namespace, `{"ca":{"rotationID":"2026-12"}}`)
	for range 5 {
		n.step(t, p)
	}
	manager.kill(t)
	n.step(t, p)
	startManager(t)
	n.until(t, p, "rotated by two managers", n.issuedBy(t, names.CA("2026-12"), names.CA("2026-12")))

	makeIssuer(t, namespace, "corp")
	patchTLS(t, namespace, `{"ca":{"rotationID":null},"issuerRef":{"name":"corp"}}`)
	n.until(t, p, "by the user's issuer", n.issuedBy(t, "corp"))

	patchTLS(t, namespace, `{"issuerRef":null}`)
	n.until(t, p, "by a private CA again", n.issuedBy(t, "chat-ca", "chat-ca"))
}

// makeIssuer makes an Issuer of the user's, with a CA of its own.
func makeIssuer(t *testing.T, namespace, name string) {
	t.Helper()
	create(t, &certmanagerv1.Issuer{ObjectMeta: named(namespace, name+"-root"), Spec: certmanagerv1.IssuerSpec{
		IssuerConfig: certmanagerv1.IssuerConfig{SelfSigned: &certmanagerv1.SelfSignedIssuer{}}}})
	create(t, &certmanagerv1.Certificate{ObjectMeta: named(namespace, name), Spec: certmanagerv1.CertificateSpec{
		CommonName: name, IsCA: true, SecretName: name,
		IssuerRef: certmanagermeta.IssuerReference{Name: name + "-root"},
	}})
	create(t, &certmanagerv1.Issuer{ObjectMeta: named(namespace, name), Spec: certmanagerv1.IssuerSpec{
		IssuerConfig: certmanagerv1.IssuerConfig{CA: &certmanagerv1.CAIssuer{SecretName: name}}}})
	eventually(t, "the Secret of "+name, func(ctx context.Context) error {
		return admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &corev1.Secret{})
	})
}
