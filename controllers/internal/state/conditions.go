package state

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// IsTrue reports whether a pod has a condition, and it is True.
func IsTrue(pod *corev1.Pod, condition corev1.PodConditionType) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == condition && c.Status == corev1.ConditionTrue
	})
}
