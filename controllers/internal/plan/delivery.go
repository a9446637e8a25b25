package plan

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// tlsSource is where the volume with a node's key and certificate comes from.
func tlsSource(delivery v1alpha1.CertificateDelivery) corev1.VolumeSource {
	if delivery != v1alpha1.DeliveryPodCertificate {
		return corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
			SecretName: placeholderSecret,
			// Only the key and its chain, in one file: no key is there twice.
			Items: []corev1.KeyToPath{{Key: naming.CombinedKey, Path: naming.CombinedKey}},
		}}
	}
	return corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{
		PodCertificate: &corev1.PodCertificateProjection{
			SignerName: certs.SignerName,
			KeyType:    "ECDSAP256",
			// The same file as with a Secret: key, then chain.
			CredentialBundlePath: naming.CombinedKey,
			// As long as may be. The signer takes the lifetime from the spec, so that a
			// change of it restarts no node.
			MaxExpirationSeconds: ptr.To(int32(certs.MaxPodCertificateLifetime.Seconds())),
		}}}}}
}

// delivery is what the spec asks for.
func delivery(s state.State) v1alpha1.CertificateDelivery {
	if s.Cluster.Spec.TLS.Delivery == v1alpha1.DeliveryPodCertificate {
		return v1alpha1.DeliveryPodCertificate
	}
	return v1alpha1.DeliverySecret
}

// deliveryIs says that nodes come by their certificates in this way: as the spec asks
// for, or as those that run still do, or those that the StatefulSet would start.
func deliveryIs(way v1alpha1.CertificateDelivery, s state.State) bool {
	return delivery(s) == way ||
		s.StatefulSet != nil && state.DeliveryTo(s.StatefulSet.Spec.Template.Spec) == way ||
		way == v1alpha1.DeliveryPodCertificate && slices.ContainsFunc(s.Pods, asks)
}

// asks says that the kubelet of a pod asks for its certificate.
func asks(pod corev1.Pod) bool { return state.DeliveryTo(pod.Spec) == v1alpha1.DeliveryPodCertificate }

// changesDelivery says that nodes are about to be restarted, to come by their
// certificates in another way.
func changesDelivery(s state.State) bool {
	return s.StatefulSet != nil && state.DeliveryTo(s.StatefulSet.Spec.Template.Spec) != delivery(s)
}

// prepared says that a pod would have its cookie and its certificate if it started now.
func prepared(s state.State, pod string) bool {
	if s.Cookie() == nil {
		return false
	}
	if delivery(s) == v1alpha1.DeliveryPodCertificate {
		ca, ok := s.Intermediate()
		return ok && ca.JudgeIntermediate(s.Trust(), s.Now) == nil
	}
	leaf, ok := s.StoredCertificate(pod)
	return ok && leaf.Judge(s.Names.Host(pod), s.Trust(), s.Now) == nil
}

// awaited is the certificate that a pod waits for.
func awaited(s state.State, pod string) string {
	if delivery(s) == v1alpha1.DeliveryPodCertificate {
		return fmt.Sprintf("the intermediate CA %s, which signs the certificate of pod %s", s.Names.Intermediate(), pod)
	}
	return fmt.Sprintf("the certificate of pod %s", pod)
}

// checkIntermediate tells when the issuer has given no CA: it will not on another
// attempt either.
func checkIntermediate(p *Plan, s state.State) {
	ca, ok := s.Intermediate()
	if !ok || s.Trust().Empty() {
		return
	}
	if fault := ca.JudgeIntermediate(s.Trust(), s.Now); fault != nil && fault.Reason == v1alpha1.ReasonIssuerGivesNoCA {
		p.problem(fault.Reason, fmt.Sprintf(
			"tls.delivery: PodCertificate needs an issuer that signs CAs, and the certificate in Secret %s %s. Name another issuer in tls.issuerRef, or remove it to have a private CA, or set tls.delivery to Secret",
			s.Names.Intermediate(), fault.Detail))
	}
}
