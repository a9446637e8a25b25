package controllers

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/beam"
)

// trimmedPod is of a pod's spec its delivery, the ports of its node, where it runs, and with
// which ServiceAccount.
func trimmedPod(spec corev1.PodSpec) corev1.PodSpec {
	beam.KeepFlags(&spec)
	return corev1.PodSpec{
		NodeName: spec.NodeName, ServiceAccountName: spec.ServiceAccountName, Containers: spec.Containers,
		Volumes: only(spec.Volumes, func(v corev1.Volume) bool { return v.Name == naming.TLSVolume }),
	}
}

// trimmedPodStatus is of a pod's status why it does not run, or is not Ready.
func trimmedPodStatus(status corev1.PodStatus) corev1.PodStatus {
	trimmed := corev1.PodStatus{Phase: status.Phase, Reason: status.Reason, Message: status.Message,
		InitContainerStatuses: trimmedContainers(status.InitContainerStatuses), ContainerStatuses: trimmedContainers(status.ContainerStatuses)}
	trimmed.Conditions = only(status.Conditions, func(c corev1.PodCondition) bool {
		return slices.Contains(readPodConditions, c.Type)
	})
	for i := range trimmed.Conditions {
		condition := &trimmed.Conditions[i]
		condition.Reason, condition.Message, condition.LastProbeTime = sharedText(condition.Reason), sharedText(condition.Message), metav1.Time{}
	}
	return trimmed
}

var readPodConditions = []corev1.PodConditionType{corev1.PodScheduled, corev1.ContainersReady, corev1.PodReady, v1alpha1.ReadinessGate}

// trimmedContainers have of their status whether, since when and why not they run.
func trimmedContainers(statuses []corev1.ContainerStatus) (trimmed []corev1.ContainerStatus) {
	for _, status := range statuses {
		for _, state := range []*corev1.ContainerState{&status.State, &status.LastTerminationState} {
			if state.Terminated != nil {
				state.Terminated.ContainerID = ""
			}
		}
		trimmed = append(trimmed, corev1.ContainerStatus{Name: sharedText(status.Name), Ready: status.Ready, Started: status.Started,
			RestartCount: status.RestartCount, State: status.State, LastTerminationState: status.LastTerminationState})
	}
	return trimmed
}
