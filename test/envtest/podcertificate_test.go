package envtest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	appsv1 "k8s.io/api/apps/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/certstest"
)

const podCertificate = `spec: {tls: {delivery: PodCertificate}}`

// requirePodCertificates skips a test where this Kubernetes has no PodCertificateRequests.
func requirePodCertificates(t *testing.T) {
	t.Helper()
	if !served.PodCertificates {
		t.Skip("this Kubernetes has no PodCertificateRequests in certificates.k8s.io/v1")
	}
}

// A kubelet's request gets a certificate for its pod if, and only if, the pod is a member.
func TestPodCertificate(t *testing.T) {
	requirePodCertificates(t)
	namespace := newNamespace(t)
	create(t, merged(t, object(t, namespace, minimal), podCertificate))
	m := startManager(t)
	awaitCondition(t, namespace, v1alpha1.ConditionCredentialsReady, metav1.ConditionTrue, v1alpha1.ReasonCertificatesIssued)
	set := awaitStatefulSet(t, namespace, 3)
	var pods []*corev1.Pod
	for ordinal := range 3 {
		pods = append(pods, startRequestingPod(t, set, ordinal))
	}

	t.Run("members", func(t *testing.T) {
		for _, pod := range pods {
			requestCertificate(t, pod).expectIssued(t)
		}
		expectNoMemberKeys(t, namespace)
	})
	t.Run("all pods of a machine at once, with one write each", func(t *testing.T) {
		settle(t)
		log, since := requestsOf(t, managerAccount), time.Now()
		var all []*certificateRequest
		for range 10 {
			for _, pod := range pods {
				all = append(all, requestCertificate(t, pod))
			}
		}
		for _, one := range all {
			one.expectIssued(t)
		}
		t.Logf("%d certificates within %s", len(all), time.Since(since).Round(time.Millisecond))
		writes := 0
		eventually(t, "all writes are logged", func(context.Context) error {
			requests, err := log.next()
			for _, r := range requests {
				// No probe runs, and the Lease of one that is silent is read before that is reported.
				if r.ObjectRef.Resource == "leases" && r.Verb == "get" || r.ObjectRef.Namespace != "" && r.ObjectRef.Namespace != namespace {
					continue
				}
				if r.ObjectRef.Resource != "podcertificaterequests" || r.Verb != "update" {
					t.Errorf("the manager requested: %s", r)
				}
				writes++
			}
			if err == nil && writes < len(all) {
				err = fmt.Errorf("%d", writes)
			}
			return err
		})
		if writes != len(all) {
			t.Errorf("%d writes for %d certificates", writes, len(all))
		}
	})
	t.Run("others are denied", func(t *testing.T) { checkOthersAreDenied(t, set, pods[0]) })
	t.Run("waits for the CA, and uses the next", func(t *testing.T) {
		secret := &corev1.Secret{ObjectMeta: named(namespace, "chat-intermediate")}
		before := get(t, secret).DeepCopy()
		check(t, admin.Delete(t.Context(), secret))
		eventually(t, "another intermediate CA", func(ctx context.Context) error {
			_, err := read(ctx, secret)
			if err == nil && (secret.UID == before.UID || len(secret.Data["tls.crt"]) == 0) {
				err = errors.New("it is not there yet")
			}
			return err
		})
		// The manager may not have seen the new CA yet, and cert-manager may issue another one at once.
		for end := time.Now().Add(2 * time.Minute); ; {
			one := requestCertificate(t, pods[0])
			one.expectIssued(t)
			signer := certificatesIn(t, one.request.Status.CertificateChain)[1]
			if current := certificatesIn(t, string(get(t, secret).Data["tls.crt"]))[0]; current.Equal(signer) {
				break
			}
			if time.Now().After(end) {
				t.Fatal("certificates are still signed by the former CA")
			}
		}
	})
	t.Run("an issued request is not written again", func(t *testing.T) {
		one := requestCertificate(t, pods[1])
		one.expectIssued(t)
		version := one.request.ResourceVersion
		m.kill(t)
		waiting := requestCertificate(t, pods[2])
		startManager(t)
		waiting.expectIssued(t)
		if now := get(t, one.request).ResourceVersion; now != version {
			t.Errorf("it was written again: version %s, was %s", now, version)
		}
	})
}

// checkOthersAreDenied requires that a pod that is not a member, and a request that does
// not match its pod, gets no certificate.
func checkOthersAreDenied(t *testing.T, set *appsv1.StatefulSet, member *corev1.Pod) {
	outsider := func(name string, edit func(*corev1.Pod)) *corev1.Pod {
		pod := &corev1.Pod{ObjectMeta: named(set.Namespace, name), Spec: *member.Spec.DeepCopy()}
		edit(pod)
		check(t, admin.Create(t.Context(), pod))
		return pod
	}
	for name, test := range map[string]struct {
		pod    *corev1.Pod
		edit   func(*certificatesv1.PodCertificateRequest)
		reason string
	}{
		"another ServiceAccount": {member, func(r *certificatesv1.PodCertificateRequest) { r.Spec.ServiceAccountName = "admin" }, "IdentityMismatch"},
		"another machine":        {member, func(r *certificatesv1.PodCertificateRequest) { r.Spec.NodeName = "elsewhere" }, "IdentityMismatch"},
		"a former pod":           {member, func(r *certificatesv1.PodCertificateRequest) { r.Spec.PodUID = "gone" }, "IdentityMismatch"},
		"a bare pod":             {outsider("mine", func(*corev1.Pod) {}), nil, "NotAMember"},
		"a Job's pod, labelled": {outsider("chat-7", func(pod *corev1.Pod) {
			pod.Labels = member.Labels
			pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: "chat", UID: "1", Controller: ptr.To(true)}}
		}), nil, "NotAMember"},
	} {
		t.Run(name, func(t *testing.T) {
			var edits []func(*certificatesv1.PodCertificateRequest)
			if test.edit != nil {
				edits = append(edits, test.edit)
			}
			requestCertificate(t, test.pod, edits...).expectDenied(t, test.reason)
		})
	}
	t.Run("a forged owner gets no answer", func(t *testing.T) {
		pod := outsider("chat-8", func(pod *corev1.Pod) {
			pod.Labels = member.Labels
			pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: set.Name, UID: "forged", Controller: ptr.To(true)}}
		})
		log := requestsOf(t, managerAccount)
		one := requestCertificate(t, pod)
		// The cache has no StatefulSet of that UID, so the manager looks live: by then it
		// has decided once, and twice.
		looks := 0
		eventually(t, "the manager looks for that StatefulSet", func(context.Context) error {
			requests, err := log.next()
			for _, r := range requests {
				if r.Verb == "get" && r.ObjectRef.Resource == "statefulsets" {
					looks++
				}
			}
			if err == nil && looks < 2 {
				err = fmt.Errorf("%d times", looks)
			}
			return err
		})
		if got := get(t, one.request); len(got.Status.Conditions) > 0 || got.Status.CertificateChain != "" {
			t.Errorf("it is answered: %+v", got.Status)
		}
		if err := admin.Delete(t.Context(), one.request); err != nil {
			t.Error(err)
		}
	})
	t.Run("requests for another signer are ignored", func(t *testing.T) {
		one := requestCertificate(t, member, func(r *certificatesv1.PodCertificateRequest) { r.Spec.SignerName = "example.com/other" })
		requestCertificate(t, member).expectIssued(t)
		if got := get(t, one.request); len(got.Status.Conditions) > 0 {
			t.Errorf("it is answered: %+v", got.Status)
		}
	})
	t.Run("names in a request are ignored", func(t *testing.T) {
		one := requestCertificate(t, member, func(r *certificatesv1.PodCertificateRequest) {
			r.Spec.UnverifiedUserAnnotations = map[string]string{"example.com/pod": "chat-1"}
			r.Annotations = map[string]string{"erlang-operator.dev/pod": "chat-1"}
		})
		one.expectIssued(t)
	})
}

// startRequestingPod creates the pod of an ordinal as the StatefulSet controller, the
// scheduler and the kubelet would, and requires that it has no Secret for its key.
func startRequestingPod(t *testing.T, set *appsv1.StatefulSet, ordinal int) *corev1.Pod {
	t.Helper()
	pod := podOf(set, ordinal)
	// What admission would set, and the scheduler.
	pod.Spec.ServiceAccountName, pod.Spec.NodeName = "default", "machine"
	check(t, admin.Create(t.Context(), pod))
	sources := 0
	for _, volume := range pod.Spec.Volumes {
		if volume.Secret != nil && volume.Secret.SecretName != set.Name+"-cookie" {
			t.Errorf("pod %s mounts the Secret %s", pod.Name, volume.Secret.SecretName)
		}
		if volume.Projected != nil {
			for _, source := range volume.Projected.Sources {
				if source.PodCertificate != nil && source.PodCertificate.SignerName == "erlang-operator.dev/member" &&
					source.PodCertificate.CredentialBundlePath == "tls-combined.pem" {
					sources++
				}
			}
		}
	}
	if sources != 1 {
		t.Errorf("pod %s requests %d certificates: %+v", pod.Name, sources, pod.Spec.Volumes)
	}
	check(t, admin.Status().Patch(t.Context(), pod, client.RawPatch(types.MergePatchType, []byte(`{"status":{"phase":"Running"}}`))))
	return pod
}

// certificateRequest is a request of a kubelet.
type certificateRequest struct {
	pod     *corev1.Pod
	key     *ecdsa.PrivateKey
	request *certificatesv1.PodCertificateRequest
}

// requestCertificate requests a pod's certificate as its kubelet would, except for the
// edits.
func requestCertificate(t *testing.T, pod *corev1.Pod, edits ...func(*certificatesv1.PodCertificateRequest)) *certificateRequest {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	stub := must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key))(t)
	request := &certificatesv1.PodCertificateRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, GenerateName: "req-"},
		Spec: certificatesv1.PodCertificateRequestSpec{
			SignerName: "erlang-operator.dev/member", PodName: pod.Name, PodUID: pod.UID,
			ServiceAccountName: pod.Spec.ServiceAccountName, ServiceAccountUID: "account",
			NodeName: "machine", NodeUID: "machine", MaxExpirationSeconds: ptr.To[int32](7862400), StubPKCS10Request: stub,
		}}
	for _, edit := range edits {
		edit(request)
	}
	create(t, request)
	return &certificateRequest{pod, key, request}
}

// answered waits for the answer.
func (a *certificateRequest) answered(t *testing.T) metav1.Condition {
	t.Helper()
	eventually(t, "an answer for pod "+a.pod.Name, func(ctx context.Context) error {
		_, err := read(ctx, a.request)
		if err == nil && len(a.request.Status.Conditions) == 0 {
			err = errors.New("there is none")
		}
		return err
	})
	return a.request.Status.Conditions[0]
}

func (a *certificateRequest) expectDenied(t *testing.T, reason string) {
	t.Helper()
	if got := a.answered(t); got.Type != "Denied" || got.Reason != reason {
		t.Errorf("the answer is %+v, want Denied, %s", got, reason)
	}
	if a.request.Status.CertificateChain != "" {
		t.Error("it has a certificate")
	}
}

// expectIssued verifies the certificate as a peer of the node would, with the trust
// bundle of the nodes.
func (a *certificateRequest) expectIssued(t *testing.T) {
	t.Helper()
	if got := a.answered(t); got.Type != "Issued" {
		t.Fatalf("the answer is %+v, want Issued", got)
	}
	chain := certificatesIn(t, a.request.Status.CertificateChain)
	if len(chain) != 2 || !chain[1].IsCA || !a.key.PublicKey.Equal(chain[0].PublicKey) {
		t.Fatalf("it has %d certificates, want the leaf for the requested key, and the intermediate CA", len(chain))
	}
	if domain := fmt.Sprintf("chat-nodes.%s.svc.cluster.local", a.pod.Namespace); !chain[1].PermittedDNSDomainsCritical || !slices.Equal(chain[1].PermittedDNSDomains, []string{domain}) {
		t.Errorf("the intermediate CA is constrained to %v (critical: %t), want %s", chain[1].PermittedDNSDomains, chain[1].PermittedDNSDomainsCritical, domain)
	}
	bundle := get(t, &corev1.ConfigMap{ObjectMeta: named(a.pod.Namespace, "chat-distribution")})
	roots := certificatesIn(t, bundle.Data["trust.pem"])
	if slices.ContainsFunc(roots, chain[1].Equal) {
		t.Error("the intermediate CA is in the trust bundle, in place of the one above it")
	}
	host := fmt.Sprintf("%s.chat-nodes.%s.svc.cluster.local", a.pod.Name, a.pod.Namespace)
	leaf := certs.Certificate{X509: chain[0], Issuers: chain[1:]}
	if fault := leaf.Validate(host, certs.Trust{}.With(roots...), time.Now()); fault != nil {
		t.Errorf("a peer would find that it %s", fault.Detail)
	}
	if !slices.Equal(chain[0].DNSNames, []string{host}) || chain[0].IsCA || len(chain[0].IPAddresses)+len(chain[0].URIs)+len(chain[0].EmailAddresses) > 0 {
		t.Errorf("it is for %v", chain[0].DNSNames)
	}
	if lives := chain[0].NotAfter.Sub(chain[0].NotBefore); lives != 720*time.Hour {
		t.Errorf("it lives for %s, want 720h", lives)
	}
}

func certificatesIn(t *testing.T, text string) []*x509.Certificate {
	t.Helper()
	var all []*x509.Certificate
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return all
		}
		certificate := must(x509.ParseCertificate(block.Bytes))(t)
		all = append(all, certificate)
	}
}

// expectNoMemberKeys requires that only CAs and the probe have keys in Secrets, but for those that
// cert-manager keeps while it issues a certificate.
func expectNoMemberKeys(t *testing.T, namespace string) {
	t.Helper()
	var secrets corev1.SecretList
	check(t, admin.List(t.Context(), &secrets, client.InNamespace(namespace)))
	var keys []string
	for _, secret := range secrets.Items {
		for _, value := range secret.Data {
			if strings.Contains(string(value), "PRIVATE KEY") && secret.Labels[certmanagerv1.IsNextPrivateKeySecretLabelKey] == "" {
				keys = append(keys, secret.Name)
			}
		}
	}
	slices.Sort(keys)
	if keys = slices.Compact(keys); !slices.Equal(keys, []string{"chat-ca", "chat-intermediate", "chat-probe-tls"}) {
		t.Errorf("Secrets with keys are %v", keys)
	}
}

// When the delivery changes, pods are replaced one by one, and each keeps its credentials
// until then.
func TestChangeDelivery(t *testing.T) {
	requirePodCertificates(t)
	namespace := newNamespace(t)
	create(t, object(t, namespace, minimal))
	startManager(t)
	set := awaitStatefulSet(t, namespace, 3)
	pods := startPods(t, set, 0, 3)

	patchSpec(t, namespace, func(spec *v1alpha1.ErlangClusterSpec) { spec.TLS.Delivery = v1alpha1.DeliveryPodCertificate })
	set = awaitDelivery(t, set, true)
	for at := 2; at >= 0; at-- { // as the StatefulSet controller does
		for below := range at {
			if there, err := exists(t.Context(), &corev1.Secret{ObjectMeta: named(namespace, pods[below].Name+"-tls")}); err != nil || !there {
				t.Errorf("the Secret of pod %s, which is still there, is there: %t, %v", pods[below].Name, there, err)
			}
		}
		check(t, admin.Delete(t.Context(), pods[at], client.GracePeriodSeconds(0)))
		pods[at] = startRequestingPod(t, set, at)
		requestCertificate(t, pods[at]).expectIssued(t)
		awaitGone(t, certificate(namespace, pods[at].Name+"-tls"), &corev1.Secret{ObjectMeta: named(namespace, pods[at].Name+"-tls")})
	}
	observeStatefulSet(t, set)
	expectNoMemberKeys(t, namespace)
	awaitCondition(t, namespace, v1alpha1.ConditionCredentialsReady, metav1.ConditionTrue, v1alpha1.ReasonCertificatesIssued)

	collectGarbage(t, namespace)
	// And back: every Secret exists before the first pod is replaced, and the CA is deleted
	// after the last.
	patchSpec(t, namespace, func(spec *v1alpha1.ErlangClusterSpec) { spec.TLS.Delivery = v1alpha1.DeliverySecret })
	set = awaitDelivery(t, set, false)
	for at := 2; at >= 0; at-- {
		requestCertificate(t, pods[at]).expectIssued(t) // a renewal in the meantime
		check(t, admin.Delete(t.Context(), pods[at], client.GracePeriodSeconds(0)))
		startPods(t, set, at, at+1)
	}
	awaitGone(t, certificate(namespace, "chat-intermediate"), &corev1.Secret{ObjectMeta: named(namespace, "chat-intermediate")})
}

// awaitDelivery waits until the template has pods request their certificates, or not.
func awaitDelivery(t *testing.T, set *appsv1.StatefulSet, asking bool) *appsv1.StatefulSet {
	t.Helper()
	eventually(t, fmt.Sprintf("pods that request certificates: %t", asking), func(ctx context.Context) error {
		if err := admin.Get(ctx, client.ObjectKeyFromObject(set), set); err != nil {
			return err
		}
		for _, volume := range set.Spec.Template.Spec.Volumes {
			if volume.Name == "erlang-operator-tls" && (volume.Projected != nil) == asking {
				return nil
			}
		}
		return fmt.Errorf("the template has %+v", set.Spec.Template.Spec.Volumes)
	})
	return set
}

// An issuer of the user's own signs the intermediate CA too.
func TestIntermediateOfAnIssuer(t *testing.T) {
	requirePodCertificates(t)
	namespace := newNamespace(t)
	makeIssuer(t, namespace, "corp")
	create(t, merged(t, object(t, namespace, minimal), `spec: {tls: {delivery: PodCertificate, issuerRef: {name: corp}}}`))
	startManager(t)
	set := awaitStatefulSet(t, namespace, 3)
	requestCertificate(t, startRequestingPod(t, set, 0)).expectIssued(t)
}

// An issuer that does not issue a CA makes the cluster Stalled, and no node is started.
func TestIssuerThatGivesNoCA(t *testing.T) {
	namespace := newNamespace(t)
	create(t, merged(t, object(t, namespace, minimal),
		`spec: {tls: {delivery: PodCertificate, issuerRef: {group: example.com, kind: Corporate, name: corp}}}`))
	startManager(t)
	corp := certstest.NewAuthority("corp")
	for _, name := range []string{"chat-probe-tls", "chat-intermediate"} {
		answer(t, namespace, name, func(asked *x509.CertificateRequest, request *certmanagerv1.CertificateRequest) {
			issue(request, corp.IssueTo(hostOf(asked), asked.PublicKey, validFor(24*time.Hour)), corp.Certificate)
		})
	}
	awaitCondition(t, namespace, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonIssuerGivesNoCA, "tls.delivery", "chat-intermediate")
	if there, err := exists(t.Context(), &appsv1.StatefulSet{ObjectMeta: named(namespace, "chat")}); err != nil || !there {
		return
	}
	set := get(t, &appsv1.StatefulSet{ObjectMeta: named(namespace, "chat")})
	if *set.Spec.Replicas != 0 {
		t.Errorf("%d nodes are started, and nothing can sign their certificates", *set.Spec.Replicas)
	}
}

// collectGarbage deletes the requests of all Certificates, as the garbage collector would,
// which does not run here.
func collectGarbage(t *testing.T, namespace string) {
	t.Helper()
	check(t, admin.DeleteAllOf(t.Context(), &certmanagerv1.CertificateRequest{}, client.InNamespace(namespace)))
}
