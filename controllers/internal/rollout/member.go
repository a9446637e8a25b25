package rollout

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/beam"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// A member is an expected pod and its node.
type member struct {
	name    string
	ordinal int32
	pod     *corev1.Pod // nil when there is none
	// updated: its template is the latest. A pod that does not exist is outdated during a
	// rollout, because it may get the former one.
	updated bool
	// joined: its node was linked to the others once.
	joined bool
	// linked: its node is verified, and linked to all that are.
	linked bool
	// ready for the kubelet.
	ready bool
	// failing: its containers cannot run, or end again and again; its node may be linked
	// in between.
	failing bool
	// lost: it is failing, and not with a container beside a node that has joined and runs on:
	// that the probe does not reach such a node does not mean that its peers do not.
	lost bool
	// broken: it is lost, or its node was never linked to the others, as far as the probe
	// reports, so that nothing is lost with it.
	broken bool
	// unreachable: its node does not answer, and may be linked to others that do not either.
	unreachable bool
}

// members are the expected pods, by ordinal.
func members(s state.State) []member {
	all := make([]member, 0, s.Replicas())
	for ordinal, name := range s.Names.Pods(s.Replicas()) {
		m := member{name: name, ordinal: int32(ordinal), pod: s.Pod(name)}
		status := s.StatefulSet.Status
		if m.pod == nil {
			m.updated = status.CurrentRevision == status.UpdateRevision
			all = append(all, m)
			continue
		}
		node := s.Node(name)
		m.updated = m.pod.Labels[appsv1.ControllerRevisionHashLabelKey] == status.UpdateRevision
		m.linked = s.IsLinked(name)
		m.ready = state.IsTrue(m.pod, corev1.PodReady)
		m.joined = state.IsTrue(m.pod, v1alpha1.ReadinessGate)
		m.failing = isFailing(s, m.pod)
		m.lost = m.failing && (!m.joined || !nodeRuns(s, m.pod))
		isKnown := node != nil && !s.ProbeIsSilent()
		m.broken = m.isReplaceable() && !m.linked && (isKnown && !m.joined || m.lost)
		m.unreachable = node != nil && node.Reason == v1alpha1.ReasonConnectionTimedOut
		all = append(all, m)
	}
	return all
}

// isFailing reports whether a pod cannot be scheduled, or a container not be started, or not
// run for long. One that has just ended is started again at once.
func isFailing(s state.State, pod *corev1.Pod) bool {
	isUnschedulable := func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse
	}
	return slices.ContainsFunc(pod.Status.Conditions, isUnschedulable) ||
		slices.ContainsFunc(state.ContainerStatuses(pod), func(c corev1.ContainerStatus) bool {
			waiting, ended := c.State.Waiting, c.State.Terminated
			return waiting != nil && !slices.Contains(starting, waiting.Reason) ||
				ended != nil && ended.ExitCode != 0 && c.RestartCount > 1 || s.KeepsRestarting(c)
		})
}

// nodeRuns reports whether the container of the node runs, and does not restart again and again.
func nodeRuns(s state.State, pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool {
		return beam.IsNode(pod.Spec, c.Name) && c.State.Running != nil && !s.KeepsRestarting(c)
	})
}

// starting are the reasons for which a container waits that nothing is wrong with.
var starting = []string{"", "ContainerCreating", "PodInitializing"}

// away reports whether the others are without it.
func (m member) away() bool { return m.pod == nil || m.pod.DeletionTimestamp != nil || !m.linked }

// isReplaceable reports whether there is a pod of a former template to delete.
func (m member) isReplaceable() bool {
	return m.pod != nil && !m.updated && m.pod.DeletionTimestamp == nil
}

// awaited is what has to happen next to a member that is replaced, or is to be.
func (m member) awaited() string {
	if m.isReplaceable() {
		return fmt.Sprintf("pod %s to terminate", m.name)
	}
	return m.lacking()
}

// lacking is what has to happen next to a member that is not to be replaced.
func (m member) lacking() string {
	switch {
	case m.pod == nil:
		return fmt.Sprintf("pod %s to be created", m.name)
	case m.pod.DeletionTimestamp != nil:
		return fmt.Sprintf("pod %s to terminate", m.name)
	case m.away():
		return fmt.Sprintf("the node of pod %s to be linked to the others", m.name)
	case m.failing:
		return fmt.Sprintf("the containers of pod %s to keep running", m.name)
	}
	return fmt.Sprintf("pod %s to be Ready", m.name)
}

// keeps reports whether a member keeps another one from being replaced: a linked one if it
// is away, or not Ready with the latest template, or failing; one that is away itself only
// while it is being replaced. Members of the former template that are not Ready do not count, because
// the latest may be what makes them Ready; nor do any for one that is broken, because the
// others may need it to become Ready.
func (m member) keeps(next member) bool {
	isReplaced := m.pod == nil || m.pod.DeletionTimestamp != nil || m.updated && (m.away() || (!m.ready || m.failing) && !next.broken)
	return m.name != next.name && (isReplaced || m.away() && !next.away())
}

func count(all []member, is func(member) bool) int32 {
	n := int32(0)
	for _, m := range all {
		if is(m) {
			n++
		}
	}
	return n
}

// MaxUnavailable is how many members may be away at a time during a rollout: at least one.
func MaxUnavailable(spec v1alpha1.ErlangClusterSpec) int32 {
	if spec.Rollout.MaxUnavailable == nil {
		return 1
	}
	number, err := intstr.GetScaledValueFromIntOrPercent(spec.Rollout.MaxUnavailable, int(spec.DesiredReplicas()), false)
	if err != nil {
		return 1
	}
	return int32(max(1, number))
}
