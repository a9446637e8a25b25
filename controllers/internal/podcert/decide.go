package podcert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/naming"
)

// Subject is what was looked up for a request: nil for what does not exist, or not yet.
type Subject struct {
	Now time.Time
	// Domain of the Kubernetes cluster's DNS.
	Domain string
	// Pod of the request's name.
	Pod *corev1.Pod
	// StatefulSet that controls the pod, by the name that the pod gives.
	StatefulSet *metav1.PartialObjectMetadata
	// Cluster that controls the StatefulSet, by the name that the StatefulSet gives.
	Cluster *v1alpha1.ErlangCluster
	// Intermediate is the cluster's CA that signs.
	Intermediate *certs.Certificate
	// Trust that the cluster's nodes have.
	Trust certs.Trust
}

// A Decision on a request. The zero value is for one that is decided already, or not ours
// to decide.
type Decision struct {
	// Wait is what the request waits for. It is decided again later.
	Wait string
	// Denied is why the request can never be granted, as a condition. It is final: the
	// kubelet sends no other request for this pod.
	Denied *metav1.Condition
	// Grant is the certificate to sign, for the public key of the request.
	Grant *Grant
}

// A Grant is a certificate to sign.
type Grant struct {
	Template *x509.Certificate
	Key      any
	// Host that the certificate is for.
	Host string
	// BeginRefreshAt is when the kubelet requests the next one.
	BeginRefreshAt time.Time
}

// Reasons of a denial; besides UnsupportedKeyType, which is Kubernetes' own.
const (
	// ReasonInvalidRequest: the PKCS#10 in the request cannot be read, or is not
	// signed by its key.
	ReasonInvalidRequest = "InvalidRequest"
	// ReasonIdentityMismatch: the pod of that name is another, or runs as another.
	ReasonIdentityMismatch = "IdentityMismatch"
	// ReasonNotAMember: the pod belongs to something that is no ErlangCluster.
	ReasonNotAMember = "NotAMember"
)

// backdated is how far the clock of the machine that verifies a certificate may be
// behind that of the manager. The API server allows five minutes.
const backdated = 2 * time.Minute

// IsOpen reports whether a request is for our signer, and undecided.
func IsOpen(request *certificatesv1.PodCertificateRequest) bool {
	return request.Spec.SignerName == certs.SignerName && len(request.Status.Conditions) == 0
}

// Decide decides on a request. Where the cause may still pass, it waits: a denial is final
// for as long as the pod lives, while an undecided request expires after a quarter of an
// hour, and the kubelet sends another.
func Decide(request *certificatesv1.PodCertificateRequest, s Subject) Decision {
	if !IsOpen(request) {
		return Decision{}
	}
	key, denied := publicKey(request.Spec.StubPKCS10Request)
	if denied != nil {
		return *denied
	}
	if refused := checkPod(request, s.Pod); refused != nil {
		return *refused
	}
	if refused := checkMembership(s); refused != nil {
		return *refused
	}
	return grant(request, s, key)
}

// publicKey is the key that a request is for. The request is signed with it, which proves
// that the kubelet has it; nothing else in it is used.
func publicKey(der []byte) (any, *Decision) {
	if len(der) == 0 {
		return nil, deny(ReasonInvalidRequest, "There is no stubPKCS10Request: the kubelet is older than Kubernetes 1.36.")
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, deny(ReasonInvalidRequest, "The stubPKCS10Request is not a PKCS#10 certificate request.")
	}
	if err := request.CheckSignature(); err != nil {
		return nil, deny(ReasonInvalidRequest, "The stubPKCS10Request is not signed by its own key.")
	}
	if key, ok := request.PublicKey.(*ecdsa.PublicKey); ok && key.Curve == elliptic.P256() {
		return key, nil
	}
	return nil, deny(certificatesv1.PodCertificateRequestConditionUnsupportedKeyType,
		"The key is not of the type that the operator's volumes request, ECDSAP256.")
}

// checkPod compares the request with the pod that it names.
func checkPod(request *certificatesv1.PodCertificateRequest, pod *corev1.Pod) *Decision {
	spec := request.Spec
	switch {
	case pod == nil:
		return wait("pod %s does not exist", spec.PodName)
	case pod.UID != spec.PodUID:
		return deny(ReasonIdentityMismatch, "Pod %s is not the pod of the request: its UID differs.", spec.PodName)
	case pod.Spec.ServiceAccountName != spec.ServiceAccountName:
		return deny(ReasonIdentityMismatch, "Pod %s does not run as ServiceAccount %s.", spec.PodName, spec.ServiceAccountName)
	case pod.Spec.NodeName == "":
		return wait("pod %s is not scheduled yet", spec.PodName)
	case pod.Spec.NodeName != string(spec.NodeName):
		return deny(ReasonIdentityMismatch, "Pod %s does not run on node %s.", spec.PodName, spec.NodeName)
	}
	return nil
}

// checkMembership follows the owners of the pod up to its ErlangCluster. Labels prove
// nothing: whoever may change a pod may change them. A pod without an owner may be adopted
// again, as after a StatefulSet was deleted without its pods, so only another owner is final.
func checkMembership(s Subject) *Decision {
	pod := s.Pod
	owner := metav1.GetControllerOf(pod)
	switch {
	case owner == nil && pod.Labels[naming.LabelCluster] == "":
		return deny(ReasonNotAMember, "Pod %s belongs to no StatefulSet of an ErlangCluster.", pod.Name)
	case owner == nil:
		return wait("pod %s has no StatefulSet", pod.Name)
	case !refersTo(owner, appsv1.SchemeGroupVersion.WithKind("StatefulSet")):
		return deny(ReasonNotAMember, "Pod %s belongs to a %s, and not to a StatefulSet of an ErlangCluster.", pod.Name, owner.Kind)
	}
	set := s.StatefulSet
	if set == nil || set.UID != owner.UID {
		return wait("StatefulSet %s, to which pod %s belongs, does not exist", owner.Name, pod.Name)
	}
	owner = metav1.GetControllerOf(set)
	switch {
	case owner == nil && set.Labels[naming.LabelCluster] == "":
		return deny(ReasonNotAMember, "StatefulSet %s, to which pod %s belongs, belongs to no ErlangCluster.", set.Name, pod.Name)
	case owner == nil:
		return wait("StatefulSet %s has no ErlangCluster", set.Name)
	case v1alpha1.ControllerOf(set) == nil:
		return deny(ReasonNotAMember, "StatefulSet %s, to which pod %s belongs, belongs to a %s, and not to an ErlangCluster.", set.Name, pod.Name, owner.Kind)
	}
	cluster := s.Cluster
	if cluster == nil || cluster.UID != owner.UID {
		return wait("ErlangCluster %s, to which StatefulSet %s belongs, does not exist", owner.Name, set.Name)
	}
	names := naming.Of(cluster, s.Domain)
	if _, ok := names.Ordinal(pod.Name); !ok || set.Name != names.StatefulSet() {
		return deny(ReasonNotAMember, "Pod %s is not named as a member of ErlangCluster %s.", pod.Name, cluster.Name)
	}
	if cluster.Spec.TLS.Delivery != v1alpha1.DeliveryPodCertificate && !hasPodCertificate(pod) {
		return wait("tls.delivery of ErlangCluster %s is not PodCertificate", cluster.Name)
	}
	return nil
}

// refersTo compares kinds without their versions, which others choose.
func refersTo(owner *metav1.OwnerReference, gvk schema.GroupVersionKind) bool {
	return schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind).GroupKind() == gvk.GroupKind()
}

// hasPodCertificate reports whether a pod has a volume of our signer: one that still runs
// after tls.delivery was set back to Secret gets certificates until it is replaced.
func hasPodCertificate(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.Volumes, func(volume corev1.Volume) bool {
		return volume.Projected != nil && slices.ContainsFunc(volume.Projected.Sources, func(source corev1.VolumeProjection) bool {
			return source.PodCertificate != nil && source.PodCertificate.SignerName == certs.SignerName
		})
	})
}

// grant makes the certificate that is to be signed, if the CA is valid.
func grant(request *certificatesv1.PodCertificateRequest, s Subject, key any) Decision {
	names := naming.Of(s.Cluster, s.Domain)
	if s.Intermediate == nil {
		return *wait("the intermediate CA %s does not exist", names.Intermediate())
	}
	if fault := s.Intermediate.ValidateIntermediate(s.Trust, s.Now); fault != nil {
		return *wait("the intermediate CA %s %s", names.Intermediate(), fault.Detail)
	}
	pod := s.Pod.Name
	from := s.Now.Add(-backdated).Truncate(time.Second)
	until := from.Add(lifetime(request, s.Cluster))
	if end := s.Intermediate.X509.NotAfter; until.After(end) {
		until = end
	}
	if until.Sub(from) < certs.MinPodCertificateLifetime {
		return *wait("the intermediate CA %s expires too soon, and has to be renewed", names.Intermediate())
	}
	return Decision{Grant: &Grant{
		Host: names.Host(pod),
		Key:  key,
		// The serial number is chosen when it is signed.
		Template: &x509.Certificate{
			Subject:               pkix.Name{CommonName: pod},
			DNSNames:              []string{names.Host(pod)},
			NotBefore:             from,
			NotAfter:              until,
			KeyUsage:              x509.KeyUsageDigitalSignature,
			ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
			BasicConstraintsValid: true,
		},
		BeginRefreshAt: from.Add(until.Sub(from) * 2 / 3).Truncate(time.Second),
	}}
}

// lifetime is that of the spec, limited by that of the request.
func lifetime(request *certificatesv1.PodCertificateRequest, cluster *v1alpha1.ErlangCluster) time.Duration {
	wanted := certs.PodCertificateLifetime(cluster.Spec.TLS)
	if most := request.Spec.MaxExpirationSeconds; most != nil {
		wanted = min(wanted, time.Duration(*most)*time.Second)
	}
	return wanted
}

func wait(format string, args ...any) *Decision {
	return &Decision{Wait: fmt.Sprintf(format, args...)}
}

func deny(reason, format string, args ...any) *Decision {
	return &Decision{Denied: &metav1.Condition{
		Type: certificatesv1.PodCertificateRequestConditionTypeDenied, Status: metav1.ConditionTrue,
		Reason: reason, Message: fmt.Sprintf(format, args...),
	}}
}
