package status

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// containersUnready is that the containers of a running pod are not Ready: a fault after
// state.StartingTime.
func (p pass) containersUnready(pod *corev1.Pod) (unreadyPod, bool) {
	condition := podCondition(pod, corev1.ContainersReady)
	if condition != nil && condition.Status == corev1.ConditionTrue {
		return unreadyPod{}, false
	}
	for _, container := range state.ContainerStatuses(pod) {
		if running := container.State.Running; running != nil && !container.Ready {
			return p.probed(pod, container, running.StartedAt.Time)
		}
	}
	if condition == nil {
		return podWaits(pod.Name, "Pod %s is running, and its containers are not Ready yet.", pod.Name)
	}
	if since := condition.LastTransitionTime; p.Now.Sub(since.Time) > state.StartingTime {
		return podFails(pod.Name, v1alpha1.ReasonPodFailing, "Pod %s is running, but its containers are not Ready since %s: %s. See `kubectl describe pod %s`.",
			pod.Name, since.UTC().Format(time.RFC3339), condition.Message, pod.Name)
	}
	return podWaits(pod.Name, "Pod %s is running, and its containers are not Ready yet: %s.", pod.Name, condition.Message)
}

// probed is that a probe of a running container has not passed. The startup probe has its
// own limit of time, after which the kubelet restarts the container.
func (p pass) probed(pod *corev1.Pod, container corev1.ContainerStatus, since time.Time) (unreadyPod, bool) {
	if container.Started == nil || !*container.Started {
		return podWaits(pod.Name, "Pod %s is running, and the startup probe of container %s has not passed yet%s.",
			pod.Name, container.Name, p.said(pod, container.Name, "startup", since))
	}
	said := p.said(pod, container.Name, "readiness", since)
	if p.Now.Sub(since) <= state.StartingTime {
		return podWaits(pod.Name, "Pod %s is running, and the readiness probe of container %s has not passed yet%s.", pod.Name, container.Name, said)
	}
	return podFails(pod.Name, v1alpha1.ReasonReadinessProbeFailing,
		"Pod %[1]s is running, and the readiness probe of container %[2]s fails%[3]s. %[4]s See `kubectl describe pod %[1]s`.",
		pod.Name, container.Name, said, remedyOfProbe("readiness", container.Name, said))
}

// remedyOfProbe is what to do about a probe that fails with what the kubelet says.
func remedyOfProbe(probe, container, said string) string {
	if strings.Contains(said, "/run/erlang-operator/bin/visitor: no such file") {
		return "The image has no /bin/sh, through which exec probes are run: set spec.visitors to Unmanaged, or use an image with a shell."
	}
	if strings.Contains(said, "timed out after") {
		return fmt.Sprintf("Raise timeoutSeconds of %sProbe of template.spec.containers[%s]: 5 or more for a command that starts a BEAM.", probe, container)
	}
	return fmt.Sprintf("Correct what it checks, or %sProbe of template.spec.containers[%s].", probe, container)
}

// said is what the kubelet has recorded last of a failing probe, in the form ": text".
func (p pass) said(pod *corev1.Pod, container, probe string, since time.Time) string {
	for _, event := range slices.Backward(p.PodEvents[pod.Name]) {
		if event.Reason == "Unhealthy" && event.Container == container && strings.HasPrefix(strings.ToLower(event.Note), probe+" probe") && !event.At.Before(since) {
			return ": " + p.quoted(event.Note)
		}
	}
	return ""
}

// heldBack is why a pod does not run yet, or no longer: what its status says, or else what
// was recorded last, in the form ": text".
func (p pass) heldBack(pod *corev1.Pod) string {
	scheduled := podCondition(pod, corev1.PodScheduled)
	events := p.PodEvents[pod.Name]
	switch {
	case scheduled != nil && scheduled.Status == corev1.ConditionFalse:
		return ": " + p.quoted(scheduled.Message)
	case pod.Status.Message != "":
		return ": " + p.quoted(fmt.Sprintf("%s: %s", pod.Status.Reason, pod.Status.Message))
	case len(events) > 0 && strings.HasPrefix(events[len(events)-1].Reason, "Failed"):
		note := events[len(events)-1].Note
		return ": " + p.quoted(note) + p.mountedSoon(note)
	}
	return ""
}

var missingSecret = regexp.MustCompile(`^MountVolume.*secret "([^"]+)" not found`)

// mountedSoon is that a Secret whose absence was recorded is there now. The kubelet doubles its pauses up to
// that time (k8s.io/kubernetes/pkg/util/goroutinemap/exponentialbackoff).
func (p pass) mountedSoon(note string) string {
	if missing := missingSecret.FindStringSubmatch(note); missing == nil || p.Secrets[missing[1]] == nil {
		return ""
	}
	return "; the Secret is there now, and the kubelet mounts it within 2m2s; delete the pod to have it mounted sooner"
}
