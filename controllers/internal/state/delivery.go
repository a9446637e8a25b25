package state

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
)

// DeliveryTo is how a pod of that spec gets its certificate.
func DeliveryTo(pod corev1.PodSpec) v1alpha1.CertificateDelivery {
	ours := func(volume corev1.Volume) bool { return volume.Name == naming.TLSVolume && volume.Projected != nil }
	if slices.ContainsFunc(pod.Volumes, ours) {
		return v1alpha1.DeliveryPodCertificate
	}
	return v1alpha1.DeliverySecret
}

// RequestedByKubelet reports whether the kubelet requests the certificate of a pod, or
// would if the pod were created now.
func (s State) RequestedByKubelet(pod string) bool {
	if there := s.Pod(pod); there != nil {
		return DeliveryTo(there.Spec) == v1alpha1.DeliveryPodCertificate
	}
	return s.StatefulSet != nil && DeliveryTo(s.StatefulSet.Spec.Template.Spec) == v1alpha1.DeliveryPodCertificate
}
