package envtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/test/await"
)

// nodes stand for Erlang nodes as far as certificates go: each works with what it has read
// last. They read their files in turn, so most of the time they have different ones.
type nodes struct {
	namespace string
	pods      []*corev1.Pod
	leaves    []certs.Certificate
	trusts    []certs.Trust
	turn      int
	ready     bool // the cluster has been Ready
	widest    int  // the most CAs that a node trusted
	accepted  int  // canaries
	refused   int  // canaries
	// broken is a pod whose node is not verified.
	broken string
	// cookieVersion is the version of the cookie's Secret that the probe has read.
	cookieVersion string
}

// startNodes starts three pods, and has their nodes read their files.
func startNodes(t *testing.T, namespace string) *nodes {
	t.Helper()
	n := &nodes{
		namespace: namespace, pods: startPods(t, awaitStatefulSet(t, namespace, 3), 0, 3),
		leaves: make([]certs.Certificate, 3), trusts: make([]certs.Trust, 3),
	}
	for i := range n.pods {
		eventually(t, "the files of "+n.pods[i].Name, func(ctx context.Context) error { return n.read(ctx, i) })
	}
	return n
}

// read has a node read its files.
func (n *nodes) read(ctx context.Context, i int) error {
	leaf, err := storedCertificate(ctx, n.namespace, n.pods[i].Name+"-tls")
	if err != nil {
		return err
	}
	trust, err := n.trustBundle(ctx)
	if err != nil {
		return err
	}
	n.leaves[i], n.trusts[i] = leaf, trust
	return nil
}

// trustedCAs are the identities of the CAs of a trust bundle, each once: cert-manager may issue a CA twice,
// with the same key.
func trustedCAs(trust certs.Trust) []string {
	return slices.Compact(slices.Sorted(slices.Values(trust.Identities())))
}

func (n *nodes) trustBundle(ctx context.Context) (certs.Trust, error) {
	distribution, err := read(ctx, &corev1.ConfigMap{ObjectMeta: named(n.namespace, "chat-distribution")})
	if err != nil {
		return certs.Trust{}, err
	}
	return certs.ParseTrust([]byte(distribution.Data[naming.TrustKey]))
}

func storedCertificate(ctx context.Context, namespace, name string) (certs.Certificate, error) {
	secret, err := read(ctx, &corev1.Secret{ObjectMeta: named(namespace, name)})
	if err != nil {
		return certs.Certificate{}, err
	}
	return certs.ParseCertificate(secret.Data[corev1.TLSCertKey], secret.Data[naming.AuthorityKey])
}

// step has the next node read its files, requires that every node can still connect to
// every other one, and reports what a probe would see.
func (n *nodes) step(ctx context.Context, t *testing.T, p *probe) error {
	if err := collectRequests(ctx, n.namespace); err != nil {
		return err
	}
	if err := n.read(ctx, n.turn%len(n.pods)); err != nil {
		return err
	}
	n.turn++
	probe, err := storedCertificate(ctx, n.namespace, "chat-probe-tls")
	if err != nil {
		return err
	}
	for i, trust := range n.trusts {
		n.widest = max(n.widest, len(trustedCAs(trust)))
		for j, leaf := range n.leaves {
			if trust.IssuingCA(leaf.X509) == nil {
				t.Errorf("%s does not trust %s", n.pods[i].Name, n.pods[j].Name)
			}
		}
		if trust.IssuingCA(probe.X509) == nil {
			t.Errorf("%s does not trust the probe", n.pods[i].Name)
		}
	}
	mesh, err := n.mesh(ctx)
	if err != nil {
		return err
	}
	return p.apply(ctx, mesh)
}

// mesh is what the probe would report.
func (n *nodes) mesh(ctx context.Context) (*v1alpha1.MeshStatus, error) {
	cluster, err := read(ctx, clusterIn(n.namespace))
	if err != nil {
		return nil, err
	}
	canary, err := storedCertificate(ctx, n.namespace, "chat-probe-canary-tls")
	if client.IgnoreNotFound(err) != nil {
		return nil, err
	}
	cookie, err := read(ctx, &corev1.Secret{ObjectMeta: named(n.namespace, "chat-cookie")})
	if err != nil {
		return nil, err
	}
	mesh := wholeMesh(n.namespace, n.pods)
	mesh.ObservedGeneration = cluster.Generation
	// The probe has verified the nodes with the cookie as it was one step before.
	mesh.CookieVersion, n.cookieVersion = n.cookieVersion, cookie.ResourceVersion
	for i, leaf := range n.leaves {
		node := &mesh.Nodes[i]
		if node.Pod == n.broken {
			node.Stage, node.Reason, node.Message = v1alpha1.StageHandshake, v1alpha1.ReasonCookieMismatch, "It has another cookie."
		}
		node.CertificateSerial = certs.Serial(leaf.X509)
		node.CertificateAuthority = certs.Identity(leaf.IssuingCA(n.trusts[i]))
		node.CertificateNotAfter = &metav1.Time{Time: leaf.X509.NotAfter}
		if canary.X509 == nil {
			continue
		}
		node.Canary = &v1alpha1.CanaryStatus{CertificateAuthority: certs.Identity(canary.IssuingCA(certs.Trust{})), Result: v1alpha1.CanaryRefused}
		if n.trusts[i].IssuingCA(canary.X509) != nil {
			node.Canary.Result = v1alpha1.CanaryAccepted
			n.accepted++
		} else {
			n.refused++
		}
	}
	return mesh, nil
}

// steps takes a number of steps.
func (n *nodes) steps(t *testing.T, p *probe, count int) {
	t.Helper()
	for range count {
		eventually(t, "a step", func(ctx context.Context) error { return n.step(ctx, t, p) })
	}
}

// until takes steps until the cluster is Ready, nothing is under way, and done returns
// nil. Once Ready, the cluster must stay so.
func (n *nodes) until(t *testing.T, p *probe, what string, done func(ctx context.Context) error) {
	t.Helper()
	await.Until(t, 5*time.Minute, what, func(ctx context.Context) error {
		for range n.pods {
			if err := n.step(ctx, t, p); err != nil {
				return err
			}
		}
		cluster, err := read(ctx, clusterIn(n.namespace))
		if err != nil {
			return err
		}
		ready := meta.IsStatusConditionTrue(cluster.Status.Conditions, v1alpha1.ConditionReady)
		if n.ready && !ready {
			t.Errorf("%s: not Ready in the meantime: %s", what, summary(cluster))
		}
		n.ready = n.ready || ready
		if err := done(ctx); err != nil {
			return fmt.Errorf("%w; %s", err, summary(cluster))
		}
		if !ready || cluster.Status.ObservedGeneration != cluster.Generation ||
			meta.IsStatusConditionTrue(cluster.Status.Conditions, v1alpha1.ConditionReconciling) {
			return fmt.Errorf("there are %s", summary(cluster))
		}
		return nil
	})
}

// issuedBy requires that each stored certificate is by an issuer of that name, that the
// nodes trust its CA only, and that no other private CA, and no canary, is left.
func (n *nodes) issuedBy(issuer string, cas ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, name := range []string{"chat-probe-tls", "chat-0-tls", "chat-1-tls", "chat-2-tls"} {
			secret, err := read(ctx, &corev1.Secret{ObjectMeta: named(n.namespace, name)})
			if err != nil {
				return err
			}
			if by := secret.Annotations[certmanagerv1.IssuerNameAnnotationKey]; by != issuer {
				return fmt.Errorf("%s is by %s", name, by)
			}
		}
		trust, err := n.trustBundle(ctx)
		if err != nil {
			return err
		}
		leaf, err := storedCertificate(ctx, n.namespace, "chat-0-tls")
		if err != nil {
			return err
		}
		if signer := leaf.IssuingCA(certs.Trust{}); len(trust.Identities()) != 1 || signer == nil || trust.Identities()[0] != certs.Identity(signer) {
			return fmt.Errorf("the nodes trust %v", trust.Identities())
		}
		left, err := n.authorities(ctx)
		if err == nil && !slices.Equal(left, cas) {
			err = fmt.Errorf("there are %v, want %v", left, cas)
		}
		return err
	}
}

// authorities are the names of private CAs and canaries that there are.
func (n *nodes) authorities(ctx context.Context) (names []string, err error) {
	for _, list := range []client.ObjectList{&certmanagerv1.CertificateList{}, &corev1.SecretList{}} {
		if err := admin.List(ctx, list, client.InNamespace(n.namespace), client.HasLabels{v1alpha1.Group + "/cluster"}); err != nil {
			return nil, err
		}
		_ = meta.EachListItem(list, func(item runtime.Object) error {
			if name := item.(client.Object).GetName(); name == "chat-probe-canary-tls" || strings.HasPrefix(name, "chat-ca") {
				names = append(names, name)
			}
			return nil
		})
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// collectRequests deletes the requests of Certificates that are gone, as the garbage
// collector would, which does not run here.
func collectRequests(ctx context.Context, namespace string) error {
	var certificates certmanagerv1.CertificateList
	var requests certmanagerv1.CertificateRequestList
	for _, list := range []client.ObjectList{&certificates, &requests} {
		if err := admin.List(ctx, list, client.InNamespace(namespace)); err != nil {
			return err
		}
	}
	for _, request := range requests.Items {
		if !slices.ContainsFunc(certificates.Items, func(c certmanagerv1.Certificate) bool { return metav1.IsControlledBy(&request, &c) }) {
			if err := client.IgnoreNotFound(admin.Delete(ctx, &request)); err != nil {
				return err
			}
		}
	}
	return nil
}
