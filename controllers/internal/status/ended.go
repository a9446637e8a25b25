package status

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// failing is why a container of a pod does not run, or does not run for long, if that does
// not pass by itself.
func (p pass) failing(pod *corev1.Pod) (unreadyPod, bool) {
	for _, container := range state.ContainerStatuses(pod) {
		if end := p.lastEnd(container); end != nil {
			return p.ended(pod, container, *end)
		}
		if message, stuck := p.notStarted(container); stuck {
			return podFails(pod.Name, v1alpha1.ReasonPodFailing, "Pod %[1]s cannot run: %[2]s See `kubectl describe pod %[1]s`.", pod.Name, message)
		}
	}
	return unreadyPod{}, false
}

// notStarted is why a container cannot be started.
func (p pass) notStarted(container corev1.ContainerStatus) (string, bool) {
	waiting := container.State.Waiting
	if waiting == nil || !slices.Contains([]string{"ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName",
		"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "CrashLoopBackOff"}, waiting.Reason) {
		return "", false
	}
	said, remedy := p.telling(waiting.Message, container.Name)
	return fmt.Sprintf("container %s: %s%s.%s", container.Name, waiting.Reason, said, remedy), true
}

// lastEnd is how a container ended that does not run since, or that ends again and again;
// nil if it runs, or has done what it is for.
func (p pass) lastEnd(container corev1.ContainerStatus) *corev1.ContainerStateTerminated {
	ended, waiting := container.State.Terminated, container.State.Waiting
	switch {
	case ended != nil && !container.Ready && (ended.ExitCode != 0 || container.RestartCount > 0):
		return ended
	case waiting != nil && waiting.Reason == "CrashLoopBackOff", p.KeepsRestarting(container):
		return container.LastTerminationState.Terminated
	}
	return nil
}

// ended is that a container has ended: by itself, or because the kubelet ended it.
func (p pass) ended(pod *corev1.Pod, container corev1.ContainerStatus, end corev1.ContainerStateTerminated) (unreadyPod, bool) {
	if probe, killed := p.killedBy(pod, container.Name, end); killed {
		said := p.said(pod, container.Name, probe, time.Time{})
		return podFails(pod.Name, killedReasons[probe],
			"The kubelet restarts container %[2]s of pod %[1]s because its %[3]s probe fails%[4]s. Restarts: %[5]d. %[6]s See `kubectl describe pod %[1]s`.",
			pod.Name, container.Name, probe, said, container.RestartCount, remedyOfProbe(probe, container.Name, said))
	}
	said, remedy := p.telling(end.Message, container.Name)
	if why := remedyOfEnd(end, container.Name); remedy == "" {
		remedy = why
	}
	return podFails(pod.Name, v1alpha1.ReasonPodFailing,
		"Container %[2]s of pod %[1]s ended with exit code %[3]d (%[4]s)%[5]s.%[6]s Restarts: %[7]d. See `kubectl describe pod %[1]s` and `kubectl logs %[1]s -c %[2]s --previous`.",
		pod.Name, container.Name, end.ExitCode, end.Reason, said, remedy, container.RestartCount)
}

// killedReasons are the reasons for what the kubelet ends, by the probe that failed.
var killedReasons = map[string]string{
	"liveness": v1alpha1.ReasonLivenessProbeFailing,
	"startup":  v1alpha1.ReasonStartupProbeFailing,
}

var killed = regexp.MustCompile(`failed (liveness|startup) probe`)

// killedBy is the probe because of which the kubelet has ended a container. It records not
// every time that it does: if it ever has, an end as by a signal is taken for another time.
func (p pass) killedBy(pod *corev1.Pod, container string, end corev1.ContainerStateTerminated) (string, bool) {
	bySignal := end.Reason != "OOMKilled" && slices.Contains([]int32{0, 128 + 9, 128 + 15}, end.ExitCode)
	for _, event := range slices.Backward(p.PodEvents[pod.Name]) {
		probe := killed.FindStringSubmatch(event.Note)
		if event.Reason == "Killing" && event.Container == container && probe != nil && (bySignal || !event.At.Before(end.StartedAt.Time)) {
			return probe[1], true
		}
	}
	return "", false
}

// remedyOfEnd is what to do about an end that its exit code or reason explains.
func remedyOfEnd(end corev1.ContainerStateTerminated, container string) string {
	switch {
	case end.Reason == "OOMKilled":
		return fmt.Sprintf(" It needs more memory than it may have: raise resources.limits.memory of template.spec.containers[%s].", container)
	case end.ExitCode == 0:
		return " It ended by itself: a node has to run in the foreground."
	}
	return ""
}

// telling is what a container, or the kubelet of it, said at its end, in the form
// ": text", and what to do about it, if that is known.
func (p pass) telling(message, container string) (said, remedy string) {
	for _, known := range knownEnds {
		if match := known.says.FindStringSubmatchIndex(message); match != nil {
			remedy = string(known.says.ExpandString(nil, known.remedy, message, match))
			return ": " + p.quoted(message[match[0]:match[1]]), " " + strings.ReplaceAll(remedy, "CONTAINER", container)
		}
	}
	if line := lastLine(message); line != "" {
		return ": " + p.quoted(line), ""
	}
	return "", ""
}

// maxTerminationMessage is how many bytes the kubelet keeps of the end of a log.
const maxTerminationMessage = 2048

// lastLine is the last line of a log that tells something. One as long as the kubelet keeps
// was cut before, may be in a cookie.
func lastLine(log string) (last string) {
	if len(log) >= maxTerminationMessage {
		log = log[naming.MaxCookieLength:]
	}
	for line := range strings.Lines(log) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "Crash dump is being written to") {
			last = line
		}
	}
	return last
}
