package beam

import (
	"cmp"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// completeDefaults sets what the API server would derive from another field. In server-side
// apply such a value has no owner, so it would stay when the user changes or removes the
// other field.
func completeDefaults(pod *corev1.PodSpec) {
	account := cmp.Or(pod.ServiceAccountName, pod.DeprecatedServiceAccount)
	pod.ServiceAccountName, pod.DeprecatedServiceAccount = account, account
	for i := range pod.Volumes {
		volume := &pod.Volumes[i]
		if volume.VolumeSource == (corev1.VolumeSource{}) {
			volume.EmptyDir = &corev1.EmptyDirVolumeSource{}
		}
		if volume.Image != nil {
			volume.Image.PullPolicy = cmp.Or(volume.Image.PullPolicy, pullPolicy(volume.Image.Reference))
		}
	}
	for _, containers := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
		for i := range containers {
			containers[i].ImagePullPolicy = cmp.Or(containers[i].ImagePullPolicy, pullPolicy(containers[i].Image))
		}
	}
}

// pullPolicy is the default for an image: Always for one whose tag is latest, or that has
// neither tag nor digest.
func pullPolicy(image string) corev1.PullPolicy {
	_, tag, _ := strings.Cut(path.Base(image), ":")
	if !strings.Contains(image, "@") && (tag == "" || tag == "latest") {
		return corev1.PullAlways
	}
	return corev1.PullIfNotPresent
}
