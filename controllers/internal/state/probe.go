package state

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// HeartbeatTimeout is how long the probe may not confirm its report. It does so every five
// seconds, and another takes over within 20 s of one that was killed. After that time its Lease
// is released, so it has to exceed the 17 s that other probes wait by themselves.
const HeartbeatTimeout = 27 * time.Second

// ProbeIsSilent reports whether the probe has not confirmed its report for too long.
func (s State) ProbeIsSilent() bool { return s.Now.Sub(s.HeartbeatObserved) > HeartbeatTimeout }

// LostMachine is a machine, which Kubernetes calls a node, that is not Ready.
type LostMachine struct {
	Since time.Time
	// Says is what Kubernetes reports of it.
	Says string
}

// LostMachine is the machine of a pod if that is not Ready.
func (s State) LostMachine(pod *corev1.Pod) (LostMachine, bool) {
	machine, lost := s.LostMachines[pod.Spec.NodeName]
	return machine, lost
}

// ProbePod is the pod that confirmed the last report, or else some pod of the probe; nil when
// there is none.
func (s State) ProbePod() *corev1.Pod {
	var found *corev1.Pod
	for i := range s.ProbePods {
		if pod := &s.ProbePods[i]; found == nil || pod.Name == s.ProbeHolder {
			found = pod
		}
	}
	return found
}
