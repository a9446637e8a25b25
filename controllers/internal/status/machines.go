package status

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// lostMachines is that expected pods are on machines that are not Ready: what was known of
// their nodes may be of before.
func (p pass) lostMachines() (assessment, bool) {
	var lost []*corev1.Pod
	for _, name := range p.Names.Pods(p.Replicas()) {
		if pod := p.Pod(name); pod != nil {
			stuck := pod.DeletionTimestamp != nil && !state.StuckAt(*pod).After(p.Now) // which says more
			if _, found := p.LostMachine(pod); found && !stuck {
				lost = append(lost, pod)
			}
		}
	}
	if len(lost) == 0 {
		return assessment{}, false
	}
	message, others := fmt.Sprintf("Pod %s %s", lost[0].Name, p.whereIs(lost[0])), []string{}
	for _, pod := range lost[1:] {
		others = append(others, fmt.Sprintf("%s (%s)", pod.Name, pod.Spec.NodeName))
	}
	return isFalse(v1alpha1.ReasonMachineNotReady, withOthers(message, others)), true
}

// whereIs is the machine of a pod, and whether that is Ready.
func (p pass) whereIs(pod *corev1.Pod) string {
	machine, lost := p.LostMachine(pod)
	if !lost {
		return fmt.Sprintf("is on machine %s.", pod.Spec.NodeName)
	}
	return fmt.Sprintf("is on machine %s, which is not Ready since %s: %s.", pod.Spec.NodeName, machine.Since.UTC().Format(time.RFC3339), p.quoted(machine.Says))
}

// silentProbe is which pod has fallen silent, and where it is.
func (p pass) silentProbe() string {
	switch pod := p.ProbePod(); {
	case pod == nil || pod.Spec.NodeName == "":
		return p.probeAdvice()
	default:
		return fmt.Sprintf("Its pod %s %s %s", pod.Name, p.whereIs(pod), p.probeAdvice())
	}
}
