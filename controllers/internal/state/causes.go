package state

import (
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// StoringTimeout is how long cert-manager may take for a key or a certificate before it is
// looked up whether a quota keeps it from storing a Secret.
const StoringTimeout = 10 * time.Second

// A Contest is an object that is restored, and that another manager changes again and again.
type Contest struct {
	// Object by kind and name, and the fields and managers that it was about last.
	Object           string
	Fields, Managers []string
	// Restored is how often in a row.
	Restored int
	// Again is when it is restored next, and Over when the contest is, unless it is changed.
	Again, Over time.Time
}

// IsObserved reports whether the StatefulSet's controller has looked at it as it is. It may have written the status of
// a former one of this name, with a higher generation, and then writes no other until more than that differs
// (Kubernetes 1.37, inconsistentStatus).
func IsObserved(set *appsv1.StatefulSet) bool { return set.Status.ObservedGeneration >= set.Generation }

// MissingPods are those that the StatefulSet's controller has to create, and that do not exist
// although it has looked at the StatefulSet as it is.
func (s State) MissingPods() []string {
	set := s.StatefulSet
	if set == nil || set.Spec.Replicas == nil || !IsObserved(set) {
		return nil
	}
	var missing []string
	for _, name := range s.Names.Pods(min(s.Replicas(), *s.StatefulSet.Spec.Replicas)) {
		if s.Pod(name) == nil {
			missing = append(missing, name)
		}
	}
	return missing
}

// UnreadyTimeout is how long the containers of a pod may take to be Ready before it is
// looked up what the kubelet has recorded of the pod.
const UnreadyTimeout = 10 * time.Second

// StartingTime is how long a container may take to start and to be Ready, before that is a
// fault; one that ends earlier, again and again, has not started.
const StartingTime = 2 * time.Minute

// maxTroubled is of how many pods events are read in one pass.
const maxTroubled = 3

// TroubledPods are the first of the expected pods of which the kubelet may have recorded
// why they are not Ready, or do not remain so.
func (s State) TroubledPods() []*corev1.Pod {
	var troubled []*corev1.Pod
	for _, name := range s.Names.Pods(s.Replicas()) {
		pod := s.Pod(name)
		if pod != nil && pod.DeletionTimestamp == nil && len(troubled) < maxTroubled && s.troubled(pod) {
			troubled = append(troubled, pod)
		}
	}
	return troubled
}

// TroubledProbes are the pods of the probe of which the kubelet may have recorded that.
func (s State) TroubledProbes() []*corev1.Pod {
	var troubled []*corev1.Pod
	for i := range s.ProbePods {
		if pod := &s.ProbePods[i]; pod.DeletionTimestamp == nil && len(troubled) < maxTroubled && s.troubled(pod) {
			troubled = append(troubled, pod)
		}
	}
	return troubled
}

func (s State) troubled(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.ContainersReady && c.Status != corev1.ConditionTrue && s.Now.Sub(c.LastTransitionTime.Time) > UnreadyTimeout
	}) || slices.ContainsFunc(ContainerStatuses(pod), func(c corev1.ContainerStatus) bool {
		ended := c.State.Terminated != nil || c.LastTerminationState.Terminated != nil
		return ended && c.State.Running == nil && !c.Ready || s.KeepsRestarting(c)
	})
}

// ContainerStatuses are those of all containers of a pod that may run with its node.
func ContainerStatuses(pod *corev1.Pod) []corev1.ContainerStatus {
	return slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses)
}

// KeepsRestarting reports whether a container that runs has restarted more than once, and
// has not run for StartingTime: neither the last time, nor this time yet.
func (s State) KeepsRestarting(c corev1.ContainerStatus) bool {
	running, last := c.State.Running, c.LastTerminationState.Terminated
	return running != nil && last != nil && c.RestartCount > 1 &&
		last.FinishedAt.Sub(last.StartedAt.Time) < StartingTime && s.Now.Sub(running.StartedAt.Time) < StartingTime
}

// PodEvent is something that the kubelet, or the scheduler, has recorded of a pod.
type PodEvent struct {
	// Container that it is about; empty if it is about the pod.
	Container string
	Reason    string
	Note      string
	At        time.Time
}

// StoringOverdue reports whether cert-manager has been issuing a certificate for longer
// than StoringTimeout.
func (s State) StoringOverdue() bool {
	for name := range s.Certificates {
		if issuance, waiting := s.Issuance(name); waiting && !issuance.Failed && s.Now.Sub(issuance.Since) > StoringTimeout {
			return true
		}
	}
	return false
}

// notStored is why something that cert-manager has is in no Secret.
func (s State) notStored(what string) string {
	if s.SecretQuota == "" {
		return what
	}
	return fmt.Sprintf("%s: ResourceQuota %s allows no more Secrets. Raise it, or delete Secrets that nothing needs", what, s.SecretQuota)
}
