package beam

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/naming"
)

const (
	distributionVolume = "erlang-operator-distribution"
	cookieVolume       = "erlang-operator-cookie"
	programsVolume     = "erlang-operator-programs"

	// placeholderSecret stands in the template for the pod's own Secret, which admission
	// puts in its place. It never exists: a pod that the policy or the webhook missed does
	// not start, and the kubelet's event names the cause.
	placeholderSecret = "erlang-operator-admission-policy-missing"
)

// mounts are our volumes, and the directories at which the container of the BEAM has them.
var mounts = []corev1.VolumeMount{
	{Name: naming.TLSVolume, MountPath: naming.TLSDir, ReadOnly: true},
	{Name: distributionVolume, MountPath: naming.DistributionDir, ReadOnly: true},
	{Name: cookieVolume, MountPath: naming.CookieDir, ReadOnly: true},
	{Name: programsVolume, MountPath: naming.ProgramsDir, ReadOnly: true},
}

// Template is the user's pod template with what distribution over TLS needs.
func Template(cluster *v1alpha1.ErlangCluster, names naming.Names) *corev1.PodTemplateSpec {
	template := cluster.Spec.Template.DeepCopy()
	pod := &template.Spec
	template.Annotations = ExcludeFromMesh(template.Annotations, cluster.Spec.Distribution)
	completeDefaults(pod)
	pod.ReadinessGates = append(pod.ReadinessGates, corev1.PodReadinessGate{ConditionType: v1alpha1.ReadinessGate})
	pod.Volumes = append(pod.Volumes, volumes(cluster.Spec.TLS.Delivery, names)...)

	container := beamContainer(pod, cluster.Spec.Container)
	container.TerminationMessagePolicy = cmp.Or(container.TerminationMessagePolicy, corev1.TerminationMessageFallbackToLogsOnError)
	container.VolumeMounts = append(container.VolumeMounts, mounts...)
	container.Env = environment(container, cluster.Spec, names)
	if isErl(cluster.Spec) {
		container.Command = through(nodeProgram, container.Command)
	}
	if cluster.Spec.Visitors != v1alpha1.Unmanaged {
		throughVisitor(container)
	}
	return template
}

// volumes are the sources of mounts.
func volumes(delivery v1alpha1.CertificateDelivery, names naming.Names) []corev1.Volume {
	return []corev1.Volume{
		{Name: naming.TLSVolume, VolumeSource: tlsSource(delivery)},
		{Name: distributionVolume, VolumeSource: distributionSource(names, nil,
			naming.TrustKey, naming.OptionsKey, naming.RemoteArgsKey, naming.RelxArgsKey)},
		{Name: cookieVolume, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
			SecretName: names.CookieSecret(),
			Items:      items(naming.CookieKey),
			// The container's user may be any. Its BEAM has the cookie on its command line
			// anyway.
			DefaultMode: ptr.To(int32(0o444)),
		}}},
		{Name: programsVolume, VolumeSource: distributionSource(names, ptr.To(int32(0o555)),
			nodeProgram, shellProgram, visitorProgram)},
	}
}

// distributionSource are files of the distribution ConfigMap.
func distributionSource(names naming.Names, mode *int32, keys ...string) corev1.VolumeSource {
	return corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: names.Distribution()},
		Items:                items(keys...),
		DefaultMode:          mode,
	}}
}

// items are files with the names of their keys.
func items(keys ...string) []corev1.KeyToPath {
	var files []corev1.KeyToPath
	for _, key := range keys {
		files = append(files, corev1.KeyToPath{Key: key, Path: key})
	}
	return files
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
			Items: items(naming.CombinedKey),
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

// LacksIdentity reports whether a pod waits for a Secret that will never exist: admission has
// to put its own in place.
func LacksIdentity(pod corev1.PodSpec) bool { return Placeholder(pod) >= 0 }

// Placeholder is the index of the volume that stands for a pod's own Secret; -1 when it has none.
func Placeholder(pod corev1.PodSpec) int {
	return slices.IndexFunc(pod.Volumes, func(volume corev1.Volume) bool {
		return volume.Name == naming.TLSVolume && volume.Secret != nil && volume.Secret.SecretName == placeholderSecret
	})
}
