package beam

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/naming"
)

const (
	distributionVolume = "erlang-operator-distribution"

	// placeholderSecret stands in the template for the pod's own Secret, which the
	// MutatingAdmissionPolicy puts in its place. It never exists: a pod that the
	// policy missed does not start, and the kubelet's event names the cause.
	placeholderSecret = "erlang-operator-admission-policy-missing"
)

// Template is the user's pod template with what distribution over TLS needs.
func Template(cluster *v1alpha1.ErlangCluster, names naming.Names) *corev1.PodTemplateSpec {
	template := cluster.Spec.Template.DeepCopy()
	pod := &template.Spec
	completeDefaults(pod)
	pod.ReadinessGates = append(pod.ReadinessGates, corev1.PodReadinessGate{ConditionType: v1alpha1.ReadinessGate})
	pod.Volumes = append(pod.Volumes,
		corev1.Volume{Name: naming.TLSVolume, VolumeSource: tlsSource(cluster.Spec.TLS.Delivery)},
		corev1.Volume{Name: distributionVolume, VolumeSource: corev1.VolumeSource{
			ConfigMap: &corev1.ConfigMapVolumeSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: names.Distribution()},
			}}})

	container := beamContainer(pod, cluster.Spec.Container)
	container.VolumeMounts = append(container.VolumeMounts,
		corev1.VolumeMount{Name: naming.TLSVolume, MountPath: naming.TLSDir, ReadOnly: true},
		corev1.VolumeMount{Name: distributionVolume, MountPath: naming.DistributionDir, ReadOnly: true})
	container.Env = environment(container.Env, cluster.Spec.Distribution, names)
	return template
}

// beamContainer is the container that runs the BEAM; nil when there is none of that name.
func beamContainer(pod *corev1.PodSpec, name string) *corev1.Container {
	for i := range pod.Containers {
		if name == "" || pod.Containers[i].Name == name {
			return &pod.Containers[i]
		}
	}
	return nil
}

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

// LacksIdentity reports whether a pod was created without the admission policy, so that it
// waits for a Secret that will never exist.
func LacksIdentity(pod corev1.PodSpec) bool {
	return slices.ContainsFunc(pod.Volumes, func(volume corev1.Volume) bool {
		return volume.Name == naming.TLSVolume && volume.Secret != nil && volume.Secret.SecretName == placeholderSecret
	})
}
