package plan

import (
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// AnnotationTemplateDefaults of a pod template is the version of the defaults that it was
// completed with. Defaults that a later operator adds restart every pod of a cluster that
// gets them, so a cluster keeps those that it was created with until its user asks for
// others, by this annotation in spec.template.
const AnnotationTemplateDefaults = v1alpha1.Group + "/template-defaults"

// Versions of the defaults.
const (
	noDefaults     = 0 // Also where there is no annotation.
	spreadDefaults = 1 // spread
	latestDefaults = spreadDefaults
)

// completeTemplate adds to a pod template what its user may override.
func completeTemplate(template *corev1.PodTemplateSpec, s state.State) {
	version := templateDefaults(s)
	if version == noDefaults {
		delete(template.Annotations, AnnotationTemplateDefaults)
		return
	}
	metav1.SetMetaDataAnnotation(&template.ObjectMeta, AnnotationTemplateDefaults, strconv.Itoa(version))
	spread(&template.Spec, &metav1.LabelSelector{MatchLabels: Selector(s.Names.Cluster, ComponentNode)})
}

// templateDefaults is the version that the user asks for, or else that of the pods that are
// there, also where somebody has edited the StatefulSet, or deleted it and left its pods.
func templateDefaults(s state.State) int {
	if version, ok := defaultsIn(s.Cluster.Spec.Template.Annotations); ok {
		return version
	}
	var versions []int
	if s.StatefulSet != nil {
		version, _ := defaultsIn(s.StatefulSet.Spec.Template.Annotations)
		versions = append(versions, version)
	}
	for _, pod := range s.OwnPods() {
		if _, ours := s.Names.Ordinal(pod.Name); ours {
			version, _ := defaultsIn(pod.Annotations)
			versions = append(versions, version)
		}
	}
	if len(versions) == 0 {
		return latestDefaults
	}
	return slices.Max(versions)
}

// defaultsIn are those that annotations name; false when they name none.
func defaultsIn(annotations map[string]string) (int, bool) {
	version, err := strconv.Atoi(annotations[AnnotationTemplateDefaults])
	if err != nil || version < noDefaults {
		return noDefaults, false
	}
	return min(version, latestDefaults), true
}

// spread has the scheduler prefer another machine, and another zone, for each node, unless
// the template says itself which pods are to be near each other. Nothing is required, so that one
// machine is enough. The zones are in an affinity, because with a constraint for them the
// scheduler would take no account of machines without the label of a zone.
func spread(pod *corev1.PodSpec, members *metav1.LabelSelector) {
	if len(pod.TopologySpreadConstraints) > 0 || pod.Affinity != nil && (pod.Affinity.PodAffinity != nil || pod.Affinity.PodAntiAffinity != nil) {
		return
	}
	pod.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
		MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway, LabelSelector: members}}
	if pod.Affinity == nil {
		pod.Affinity = &corev1.Affinity{}
	}
	pod.Affinity.PodAntiAffinity = &corev1.PodAntiAffinity{
		PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{
			Weight: 100, PodAffinityTerm: corev1.PodAffinityTerm{TopologyKey: corev1.LabelTopologyZone, LabelSelector: members}}}}
}
