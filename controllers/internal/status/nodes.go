package status

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// nodes: every expected pod exists and is Ready. Until its node has joined its containers
// are enough, because only then the readiness gate opens: what is missing until then is
// the mesh's to report.
func (p pass) nodes() assessment {
	if rejected, found := p.notCreated(); found {
		return rejected
	}
	if lost, found := p.lostMachines(); found {
		return lost
	}
	if unready := p.unreadyPods(); len(unready) > 0 {
		return describeUnready(unready)
	}
	switch surplus := p.surplus(); {
	case p.Replicas() == 0 && surplus > 0:
		return pending(v1alpha1.ReasonScalingDown, fmt.Sprintf("The spec asks for no nodes, and %d pods still exist.", surplus))
	case p.Replicas() == 0:
		return isTrue(v1alpha1.ReasonScaledToZero, "The spec asks for no nodes, and no pod exists.")
	}
	return isTrue(v1alpha1.ReasonPodsReady, fmt.Sprintf("The containers of all %d pods are Ready.", p.Replicas()))
}

// An unreadyPod is why an expected pod is not Ready, or does not remain so.
type unreadyPod struct {
	name, reason, message string
	// waits: nobody has to do anything, it only takes time.
	waits bool
}

// unreadyPods are the expected pods with a fault, or, if there are none, those that are not
// Ready yet.
func (p pass) unreadyPods() []unreadyPod {
	var faulty, waiting []unreadyPod
	for _, name := range p.Names.Pods(p.Replicas()) {
		switch pod, found := p.unready(name); {
		case found && pod.waits:
			waiting = append(waiting, pod)
		case found:
			faulty = append(faulty, pod)
		}
	}
	if len(faulty) > 0 {
		return faulty
	}
	return waiting
}

// unready is why a pod is not Ready, if it is not.
func (p pass) unready(name string) (unreadyPod, bool) {
	pod := p.Pod(name)
	switch {
	case pod == nil:
		return podWaits(name, "Pod %s does not exist yet. %s", name, p.advice(p.StatefulSet != nil, "statefulset", p.Names.StatefulSet()))
	case pod.DeletionTimestamp != nil:
		return p.terminating(pod)
	}
	if failing, found := p.failing(pod); found {
		return failing, true
	}
	if pod.Status.Phase != corev1.PodRunning {
		return podWaits(name, "Pod %s is %s%s.", name, pod.Status.Phase, p.heldBack(pod))
	}
	if unready, found := p.containersUnready(pod); found {
		return unready, true
	}
	return p.joinedUnready(pod)
}

// terminating is that a pod is being deleted, which takes for ever while the kubelet of its
// machine does not report.
func (p pass) terminating(pod *corev1.Pod) (unreadyPod, bool) {
	if state.StuckAt(*pod).After(p.Now) {
		return podWaits(pod.Name, "Pod %s is being replaced.", pod.Name)
	}
	message := fmt.Sprintf("Pod %s should have been gone since %s, and its place is empty until it is. ", pod.Name, pod.DeletionTimestamp.UTC().Format(time.RFC3339))
	if finalizers := heldByFinalizers(pod); finalizers != "" {
		return podFails(pod.Name, v1alpha1.ReasonPodTerminating, "%sIts %s.", message, finalizers)
	}
	if pod.Spec.NodeName != "" {
		message += fmt.Sprintf("If its machine, %s, is off and does not come back, run %s. Else see", pod.Spec.NodeName, outOfService(pod.Spec.NodeName))
	} else {
		message += "See"
	}
	return podFails(pod.Name, v1alpha1.ReasonPodTerminating, "%s `kubectl describe pod %s`.", message, pod.Name)
}

// heldByFinalizers is that finalizers keep a pod that terminates; empty while its kubelet is not done, or
// if Kubernetes itself will remove them.
func heldByFinalizers(pod *corev1.Pod) string {
	finalizers := state.HeldBy(pod)
	if len(finalizers) == 0 {
		return ""
	}
	return fmt.Sprintf("finalizers keep it: %s. Remove them, or see why nothing does", state.Shortened(strings.Join(finalizers, ", "), maxQuote))
}

// outOfService is the command that has Kubernetes give up the pods of a machine that is off.
func outOfService(machine string) string {
	return fmt.Sprintf("`kubectl taint node %s %s=nodeshutdown:NoExecute`", machine, corev1.TaintNodeOutOfService)
}

func podWaits(pod, format string, args ...any) (unreadyPod, bool) {
	return unreadyPod{name: pod, reason: v1alpha1.ReasonPodsPending, message: fmt.Sprintf(format, args...), waits: true}, true
}

func podFails(pod, reason, format string, args ...any) (unreadyPod, bool) {
	return unreadyPod{name: pod, reason: reason, message: fmt.Sprintf(format, args...)}, true
}

// maxNamed is how many more pods than the first a message names.
const maxNamed = 5

// describeUnready is the first in full, and the others by name.
func describeUnready(unready []unreadyPod) assessment {
	first, others := unready[0], []string{}
	for _, pod := range unready[1:] {
		others = append(others, fmt.Sprintf("%s (%s)", pod.name, pod.reason))
	}
	message := withOthers(first.message, others)
	if first.waits {
		return pending(first.reason, message)
	}
	return isFalse(first.reason, message)
}

// withOthers is a message about one pod with the others that it is true of.
func withOthers(message string, others []string) string {
	if len(others) > maxNamed {
		others = append(others[:maxNamed], "and more")
	}
	if len(others) == 0 {
		return message
	}
	return fmt.Sprintf("%s Also: %s.", message, strings.Join(others, ", "))
}

// joinedUnready is that a pod whose containers are Ready and whose node has joined is not
// Ready: the kubelet needs a moment, or another readiness gate is closed.
func (p pass) joinedUnready(pod *corev1.Pod) (unreadyPod, bool) {
	ready := podCondition(pod, corev1.PodReady)
	if ready == nil || ready.Status == corev1.ConditionTrue || !hasJoined(pod) && !slices.Contains(p.joined(), pod) {
		return unreadyPod{}, false
	}
	gate := ""
	if ready.Reason == "ReadinessGatesNotReady" && !strings.Contains(ready.Message, v1alpha1.ReadinessGate) {
		gate = ": " + p.quoted(ready.Message)
	}
	return podWaits(pod.Name, "The node in pod %s has joined, and the kubelet has not reported the pod Ready yet%s.", pod.Name, gate)
}

// surplus is how many pods exist beyond those that the spec asks for. A pod with another
// name is none of the StatefulSet's, whatever its labels.
func (p pass) surplus() int {
	surplus := 0
	for _, pod := range p.Pods {
		if p.isSurplus(&pod) {
			surplus++
		}
	}
	return surplus
}

func (p pass) isSurplus(pod *corev1.Pod) bool {
	ordinal, ok := p.Names.Ordinal(pod.Name)
	return ok && ordinal >= p.Replicas()
}

// heldSurplus is a pod beyond those that the spec asks for that finalizers keep; empty if there is none.
func (p pass) heldSurplus() string {
	for i := range p.Pods {
		if pod := &p.Pods[i]; p.isSurplus(pod) && heldByFinalizers(pod) != "" {
			return fmt.Sprintf(" Pod %s is terminating, and its %s.", pod.Name, heldByFinalizers(pod))
		}
	}
	return ""
}

// podCondition is a condition of a pod; nil when there is none.
func podCondition(pod *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	at := slices.IndexFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == kind })
	if at < 0 {
		return nil
	}
	return &pod.Status.Conditions[at]
}
