package plan

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// delivery is what the spec asks for.
func delivery(s state.State) v1alpha1.CertificateDelivery {
	if s.Cluster.Spec.TLS.Delivery == v1alpha1.DeliveryPodCertificate {
		return v1alpha1.DeliveryPodCertificate
	}
	return v1alpha1.DeliverySecret
}

// deliveryInUse reports whether nodes get their certificates in this way: those that the
// spec asks for, those that run, or those that the StatefulSet would start.
func deliveryInUse(s state.State, way v1alpha1.CertificateDelivery) bool {
	return delivery(s) == way ||
		s.StatefulSet != nil && state.DeliveryTo(s.StatefulSet.Spec.Template.Spec) == way ||
		way == v1alpha1.DeliveryPodCertificate && slices.ContainsFunc(s.Pods, hasPodCertificate)
}

// hasPodCertificate reports whether the kubelet requests the certificate of a pod.
func hasPodCertificate(pod corev1.Pod) bool {
	return state.DeliveryTo(pod.Spec) == v1alpha1.DeliveryPodCertificate
}

// changesDelivery reports whether nodes are about to be restarted to get their
// certificates in another way.
func changesDelivery(s state.State) bool {
	return s.StatefulSet != nil && state.DeliveryTo(s.StatefulSet.Spec.Template.Spec) != delivery(s)
}

// unprepared is the first of the expected pods that is not prepared; false when all are.
func unprepared(s state.State) (pod string, found bool) {
	for _, pod := range s.Names.Pods(s.Replicas()) {
		if !prepared(s, pod) {
			return pod, true
		}
	}
	return "", false
}

// prepared reports whether a pod would have its cookie and its certificate if it started now.
func prepared(s state.State, pod string) bool {
	if s.Cookie() == nil {
		return false
	}
	if delivery(s) == v1alpha1.DeliveryPodCertificate {
		ca, ok := s.Intermediate()
		return ok && ca.ValidateIntermediate(s.Trust(), s.Now) == nil
	}
	leaf, ok := s.StoredCertificate(pod)
	return ok && leaf.Validate(s.Names.Host(pod), s.Trust(), s.Now) == nil
}

// awaited is the certificate that a pod waits for.
func awaited(s state.State, pod string) string {
	if delivery(s) == v1alpha1.DeliveryPodCertificate {
		return fmt.Sprintf("the intermediate CA %s, which signs the certificate of pod %s", s.Names.Intermediate(), pod)
	}
	return fmt.Sprintf("the certificate of pod %s", pod)
}

// checkIntermediate reports an issuer that has given no CA: it will not on another attempt
// either.
func checkIntermediate(p *Plan, s state.State) {
	ca, ok := s.Intermediate()
	if !ok || s.Trust().Empty() {
		return
	}
	if fault := ca.ValidateIntermediate(s.Trust(), s.Now); fault != nil && fault.Reason == v1alpha1.ReasonIssuerGivesNoCA {
		p.problem(fault.Reason, fmt.Sprintf(
			"tls.delivery: PodCertificate needs an issuer that signs CAs, and the certificate in Secret %s %s. Name another issuer in tls.issuerRef, or remove it to have a private CA, or set tls.delivery to Secret",
			s.Names.Intermediate(), fault.Detail))
	}
}
