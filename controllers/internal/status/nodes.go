package status

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// nodes: every expected pod exists and is Ready. Until its node has joined its containers
// are enough, because only then the readiness gate opens: what is missing until then is
// the mesh's to report.
func (p pass) nodes() assessment {
	if rejected, found := p.notCreated(); found {
		return rejected
	}
	for _, name := range p.Names.Pods(p.Replicas()) {
		pod := p.Pod(name)
		switch {
		case pod == nil:
			return pending(v1alpha1.ReasonPodsPending, fmt.Sprintf("Pod %s does not exist yet. %s", name, p.advice(p.StatefulSet != nil, "statefulset", p.Names.StatefulSet())))
		case pod.DeletionTimestamp != nil:
			return pending(v1alpha1.ReasonPodsPending, fmt.Sprintf("Pod %s is being replaced.", name))
		}
		if reason, failing := failure(pod); failing {
			return isFalse(v1alpha1.ReasonPodFailing, fmt.Sprintf("Pod %s cannot run: %s. See `kubectl describe pod %s` and `kubectl logs %s`.", name, reason, name, name))
		}
		if pod.Status.Phase != corev1.PodRunning {
			return pending(v1alpha1.ReasonPodsPending, fmt.Sprintf("Pod %s is %s%s.", name, pod.Status.Phase, unscheduled(pod)))
		}
		if unready, found := p.unready(pod); found {
			return unready
		}
	}
	for _, pod := range p.joinedPods() {
		if isFalseCondition(pod, corev1.PodReady) {
			return pending(v1alpha1.ReasonPodsPending, fmt.Sprintf("The node in pod %s has joined, and the kubelet has not reported the pod Ready yet.", pod.Name))
		}
	}
	switch surplus := p.surplus(); {
	case p.Replicas() == 0 && surplus > 0:
		return pending(v1alpha1.ReasonScalingDown, fmt.Sprintf("The spec asks for no nodes, and %d pods still exist.", surplus))
	case p.Replicas() == 0:
		return isTrue(v1alpha1.ReasonScaledToZero, "The spec asks for no nodes, and no pod exists.")
	}
	return isTrue(v1alpha1.ReasonPodsReady, fmt.Sprintf("The containers of all %d pods are Ready.", p.Replicas()))
}

// unready is that the containers of a running pod are not Ready: pending at first, and a
// fault after startingTime.
func (p pass) unready(pod *corev1.Pod) (assessment, bool) {
	at := slices.IndexFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.ContainersReady })
	if at < 0 {
		return pending(v1alpha1.ReasonPodsPending, fmt.Sprintf("Pod %s is running, and its containers are not Ready yet.", pod.Name)), true
	}
	condition := pod.Status.Conditions[at]
	switch since := condition.LastTransitionTime; {
	case condition.Status == corev1.ConditionTrue:
		return assessment{}, false
	case p.Now.Sub(since.Time) > startingTime:
		return isFalse(v1alpha1.ReasonPodFailing, fmt.Sprintf("Pod %s is running, but its containers are not Ready since %s: %s. See `kubectl describe pod %s`.",
			pod.Name, since.UTC().Format(time.RFC3339), condition.Message, pod.Name)), true
	}
	return pending(v1alpha1.ReasonPodsPending, fmt.Sprintf("Pod %s is running, and its containers are not Ready yet: %s.", pod.Name, condition.Message)), true
}

// surplus is how many pods exist beyond those that the spec asks for. A pod with another
// name is none of the StatefulSet's, whatever its labels.
func (p pass) surplus() int {
	surplus := 0
	for _, pod := range p.Pods {
		if ordinal, ok := p.Names.Ordinal(pod.Name); ok && ordinal >= p.Replicas() {
			surplus++
		}
	}
	return surplus
}

// failure is why a container does not run, if that does not pass by itself.
func failure(pod *corev1.Pod) (string, bool) {
	for _, container := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if ended := container.State.Terminated; ended != nil && ended.ExitCode != 0 {
			return fmt.Sprintf("container %s: %s, exit code %d", container.Name, ended.Reason, ended.ExitCode), true
		}
		waiting := container.State.Waiting
		if waiting == nil {
			continue
		}
		switch waiting.Reason {
		case "CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName",
			"CreateContainerConfigError", "CreateContainerError", "RunContainerError":
			return strings.TrimSuffix(fmt.Sprintf("container %s: %s: %s", container.Name, waiting.Reason, waiting.Message), ": "), true
		}
	}
	return "", false
}

func isFalseCondition(pod *corev1.Pod, kind corev1.PodConditionType) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == kind && c.Status == corev1.ConditionFalse
	})
}

func unscheduled(pod *corev1.Pod) string {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
			return ": " + condition.Message
		}
	}
	return ""
}
