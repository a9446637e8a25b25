package status

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// joined are the pods whose node is verified and linked to all that it can be
// linked to. A gate is opened once, and never closed: one that flaps takes Services down.
func (p pass) joined() []*corev1.Pod {
	var pods []*corev1.Pod
	for _, name := range p.Names.Pods(p.Replicas()) {
		if pod := p.Pod(name); pod != nil && !hasJoined(pod) && p.IsLinked(name) {
			pods = append(pods, pod)
		}
	}
	return pods
}

// hasJoined reports whether the readiness gate of a pod is open.
func hasJoined(pod *corev1.Pod) bool { return state.IsTrue(pod, v1alpha1.ReadinessGate) }
