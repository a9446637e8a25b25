package plan

import (
	"cmp"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/utils/ptr"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// probeResources are enough for ten nodes, and their limit for a hundred.
var probeResources = corev1.ResourceRequirements{
	Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("32Mi")},
	Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("128Mi")},
}

// probeSpec is spec.probe, completed by the defaults of the manager: maps key by key, so that
// a label that all pods of a Kubernetes need stays.
func probeSpec(s state.State, operator Operator) v1alpha1.ProbeSpec {
	spec, defaults := *s.Cluster.Spec.Probe.DeepCopy(), operator.Probe
	spec.Resources = cmp.Or(spec.Resources, defaults.Resources, &probeResources)
	spec.Affinity = cmp.Or(spec.Affinity, defaults.Affinity)
	spec.PriorityClassName = cmp.Or(spec.PriorityClassName, defaults.PriorityClassName)
	if spec.Tolerations == nil {
		spec.Tolerations = defaults.Tolerations
	}
	if spec.NodeSelector == nil {
		spec.NodeSelector = defaults.NodeSelector
	}
	if spec.TopologySpreadConstraints == nil {
		spec.TopologySpreadConstraints = defaults.TopologySpreadConstraints
	}
	if spec.ImagePullSecrets == nil {
		spec.ImagePullSecrets = s.Cluster.Spec.Template.Spec.ImagePullSecrets
	}
	spec.ImagePullSecrets = distinct(spec.ImagePullSecrets, defaults.ImagePullSecrets)
	spec.Labels = overlaid(defaults.Labels, spec.Labels)
	spec.Annotations = overlaid(defaults.Annotations, spec.Annotations)
	spec.ServiceAccountAnnotations = overlaid(defaults.ServiceAccountAnnotations, spec.ServiceAccountAnnotations)
	return spec
}

// distinct are the Secrets of both lists, each once.
func distinct(lists ...[]corev1.LocalObjectReference) (secrets []corev1.LocalObjectReference) {
	for _, secret := range slices.Concat(lists...) {
		if !slices.Contains(secrets, secret) {
			secrets = append(secrets, secret)
		}
	}
	return secrets
}

// overlaid are all keys of the maps, with the value of the last map that has them.
func overlaid(layers ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, layer := range layers {
		maps.Copy(all, layer)
	}
	return all
}

// probePodSpec is a pod with what a user may configure of it.
func probePodSpec(spec v1alpha1.ProbeSpec) (*applycore.PodSpecApplyConfiguration, error) {
	pod := &applycore.PodSpecApplyConfiguration{}
	err := convert(&corev1.PodSpec{
		Tolerations:               slices.Concat(spec.Tolerations, evictions(spec.Tolerations)),
		NodeSelector:              spec.NodeSelector,
		Affinity:                  spec.Affinity,
		TopologySpreadConstraints: spec.TopologySpreadConstraints,
		PriorityClassName:         spec.PriorityClassName,
		ImagePullSecrets:          spec.ImagePullSecrets,
	}, pod)
	return pod, err
}

// evictions are tolerations with which the pod leaves a machine as soon as Kubernetes has
// found it lost, and soon after its kubelet reports that it is not ready, unless the user has
// some of their own: the default is five minutes. One of another effect, as that of being
// scheduled there, says nothing about it.
func evictions(own []corev1.Toleration) (tolerations []corev1.Toleration) {
	for _, eviction := range []corev1.Toleration{
		{Key: corev1.TaintNodeNotReady, TolerationSeconds: ptr.To(int64(5))},
		{Key: corev1.TaintNodeUnreachable, TolerationSeconds: ptr.To(int64(0))},
	} {
		if !slices.ContainsFunc(own, func(t corev1.Toleration) bool {
			return t.Key == eviction.Key && (t.Effect == "" || t.Effect == corev1.TaintEffectNoExecute)
		}) {
			eviction.Operator, eviction.Effect = corev1.TolerationOpExists, corev1.TaintEffectNoExecute
			tolerations = append(tolerations, eviction)
		}
	}
	return tolerations
}
