// Package rollout decides which pods of a StatefulSet may be replaced by pods of its latest
// template. Kubernetes never does so by itself: of a StatefulSet with parallel pod management
// it replaces all pods that are not Ready at once, and a node that is linked to the others,
// with all that it keeps in memory, may be not Ready for a reason that its peers share.
//
// The decision is pure, and follows from what was observed in this pass.
package rollout

import (
	"cmp"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/rotation"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// A Step is what may be replaced now, and what the next replacement waits for.
type Step struct {
	// Latest: a pod that is created now gets the latest template. Else it gets that which
	// the whole cluster ran with last, so that a template that fails does not spread.
	Latest bool
	// Replace are pods to delete, whose places are taken by ones of the latest template.
	Replace []*corev1.Pod
	// Next is the pod that is replaced next; empty when none is to be.
	Next string
	// WaitingFor completes the sentence "waiting for …"; empty when nothing rolls out.
	WaitingFor string
	// Updated are how many of the expected pods have the latest template.
	Updated int32
}

// UnderWay reports whether pods are still to be replaced.
func (s Step) UnderWay() bool { return s.WaitingFor != "" }

func (s Step) String() string {
	if s.Next == "" {
		return "Waiting for " + s.WaitingFor
	}
	return fmt.Sprintf("Pod %s is next, waiting for %s", s.Next, s.WaitingFor)
}

// Next is where a rollout is. rotations are those that are under way.
func Next(s state.State, rotations []rotation.Step) Step {
	switch set := s.StatefulSet; {
	case set == nil:
		return Step{}
	case !state.IsObserved(set):
		// Another strategy now would be a change to observe again.
		step := Step{Latest: set.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType}
		if isNew := set.Status.ObservedGeneration == 0 && len(s.OwnPods()) == 0; !isNew {
			step.WaitingFor = "the StatefulSet controller to observe the latest template"
		}
		return step
	}
	all := members(s)
	step := Step{Latest: startsAnew(s) || comeBackUpdated(s, all), Updated: count(all, func(m member) bool { return m.updated && m.pod != nil })}
	outdated := slices.DeleteFunc(slices.Clone(all), func(m member) bool {
		return m.updated || m.ordinal < s.Cluster.Spec.Rollout.Partition
	})
	if len(outdated) == 0 {
		step.WaitingFor = end(s, all)
		return step
	}
	slices.SortFunc(outdated, byUrgency)
	step.Next = outdated[0].name
	if step.WaitingFor = obstacle(s, outdated[0], all, rotations); step.WaitingFor != "" {
		return step
	}
	step.Latest, step.WaitingFor = true, outdated[0].awaited()
	for _, m := range outdated {
		// Those that are failing at once if all are: they cannot become worse, and may need
		// each other to start.
		if m.isReplaceable() && (m.name == step.Next || m.broken && formerFails(s, all)) {
			step.Replace = append(step.Replace, m.pod)
		}
	}
	return step
}

// startsAnew reports whether there are no pods, and none were asked for until now: those of this
// scaling up have nothing to do with the former template.
func startsAnew(s state.State) bool {
	rollout := s.Cluster.Spec.Rollout
	return s.Replicas() > 0 && len(s.Pods) == 0 && ptr.Deref(s.StatefulSet.Spec.Replicas, 1) == 0 && !rollout.Paused && rollout.Partition == 0
}

// comeBackUpdated reports whether the pods that are created next take the places of pods of the
// latest template alone: a node does not go back to the former one when its pod was evicted.
// Which template a pod had that is gone shows in what applies since it was terminating.
func comeBackUpdated(s state.State, all []member) bool {
	absent := slices.DeleteFunc(slices.Clone(all), func(m member) bool { return m.pod != nil && m.pod.DeletionTimestamp == nil })
	isOnDelete := s.StatefulSet.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType
	isNew := func(m member) bool { return m.ordinal >= ptr.Deref(s.StatefulSet.Spec.Replicas, 1) }
	return s.StatefulSet.Status.CurrentRevision != s.StatefulSet.Status.UpdateRevision && len(absent) > 0 &&
		!slices.ContainsFunc(absent, func(m member) bool { return m.pod == nil && (!isOnDelete || isNew(m)) || m.pod != nil && !m.updated })
}

// formerFails reports whether no pod could be created from the former template with any
// hope: none of it is left but such as are lost. If none at all is left, and the latest has
// not come up yet, what applies now to the pods that are created goes on applying: else the
// pods that were replaced would get now the one template, now the other.
func formerFails(s state.State, all []member) bool {
	left := slices.DeleteFunc(slices.Clone(all), func(m member) bool { return !m.isReplaceable() })
	if len(left) > 0 {
		return !slices.ContainsFunc(left, func(m member) bool { return !m.lost || m.linked })
	}
	return s.StatefulSet.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType ||
		!slices.ContainsFunc(all, func(m member) bool { return m.pod != nil && m.updated && m.away() })
}

// byUrgency has a pod that is being replaced first, then what is broken, then what is away or
// not Ready, each from the highest ordinal to the lowest.
func byUrgency(a, b member) int {
	rank := func(m member) int {
		switch {
		case !m.isReplaceable():
			return 0
		case m.broken:
			return 1
		case m.away():
			return 2
		case !m.ready:
			return 3
		}
		return 4
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.ordinal, a.ordinal))
}

// end is what the end of a rollout waits for, when every pod that is to have the latest
// template has it; empty when it has ended.
func end(s state.State, all []member) string {
	status := s.StatefulSet.Status
	if status.CurrentRevision == status.UpdateRevision {
		return ""
	}
	for _, m := range all {
		if m.updated && (m.away() || !m.ready) {
			return m.awaited()
		}
	}
	if s.Cluster.Spec.Rollout.Partition > 0 {
		return ""
	}
	return "the StatefulSet controller to end the rollout"
}

// obstacle is why a pod must not be replaced now; empty when it may be.
func obstacle(s state.State, next member, all []member, rotations []rotation.Step) string {
	switch {
	case s.Cluster.Spec.Suspend:
		return "suspend to be removed"
	case s.Cluster.Spec.Rollout.Paused:
		return "rollout.paused to be removed"
	case formerFails(s, all):
		return ""
	case tooManyAway(s, next, all):
		return firstAway(next, all).lacking()
	case !next.isReplaceable(), next.broken:
		return ""
	case (s.Cluster.Status.Mesh == nil || s.ProbeIsSilent()) && (next.joined || next.linked):
		return "the probe to report"
	case next.unreachable && !next.failing:
		return fmt.Sprintf("the network to pod %s, which may be cut off from the others", next.name)
	case next.away():
		return ""
	}
	return unsafe(s, rotations)
}

// tooManyAway reports whether as many members are away as may be, without the next one.
func tooManyAway(s state.State, next member, all []member) bool {
	return count(all, func(m member) bool { return m.keeps(next) }) >= MaxUnavailable(s.Cluster.Spec)
}

func firstAway(next member, all []member) member {
	return all[slices.IndexFunc(all, func(m member) bool { return m.keeps(next) })]
}

// unsafe is why no node that is linked to the others is to be restarted now.
func unsafe(s state.State, rotations []rotation.Step) string {
	if s.Cluster.Status.Mesh.Components > 1 {
		return "the parts of the mesh to be linked to each other"
	}
	for _, step := range rotations {
		if slices.Contains(critical, step.Phase) {
			return fmt.Sprintf("the phase %s of the rotation of the %s to end", step.Phase, step.Credential)
		}
	}
	return ""
}

// critical are the phases of rotations in which nodes have different cookies.
var critical = []v1alpha1.RotationPhase{v1alpha1.RotationDistributingCookie, v1alpha1.RotationChangingCookie}
