package probe

import (
	"cmp"
	"slices"
	"time"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/probe/sweep"
)

// Intervals are the times between two sweeps. What is zero gets its default.
type Intervals struct {
	// Settled is the time from the begin of a sweep to the next one while nothing is wrong: with it a
	// node that no longer answers is reported 15 s later at most. Default: 4.8 s.
	Settled time.Duration
	// Unsettled is the longest time between two sweeps while something is wrong.
	// Default: 5 s.
	Unsettled time.Duration
	// Persistent is the time from the begin of a sweep to the next one once the same thing has been
	// wrong for a minute and each sweep adds a line to the log of a node: a fix, and what else goes
	// wrong, is not seen later because links take long to fail. Default: 15 s.
	Persistent time.Duration
}

func (i Intervals) withDefaults() Intervals {
	return Intervals{
		Settled:    cmp.Or(i.Settled, 4800*time.Millisecond),
		Unsettled:  cmp.Or(i.Unsettled, 5*time.Second),
		Persistent: cmp.Or(i.Persistent, 15*time.Second),
	}
}

// persistentAfter is how long a problem lasts before the nodes are swept less often.
const persistentAfter = time.Minute

// changing is the time to the next sweep while a node keeps the former cookie: the sweep
// waits for the node's file.
const changing = 200 * time.Millisecond

// newQueue is a queue without a name, because one that has a name counts what it holds twice a
// second, for metrics: that was a quarter of the CPU of a probe of three nodes at rest.
func newQueue(_ string, limiter workqueue.TypedRateLimiter[reconcile.Request]) workqueue.TypedRateLimitingInterface[reconcile.Request] {
	return priorityqueue.New("", func(o *priorityqueue.Opts[reconcile.Request]) { o.RateLimiter = limiter })
}

// schedule chooses between the intervals.
type schedule struct {
	intervals Intervals
	changed   time.Time     // when a report last differed from the one before it
	verifying time.Duration // how long it took to verify the nodes in the last sweep
	sweeping  time.Duration // how long the last sweep took
}

// soonest is the time to the next sweep after a change, as when a node starts.
const soonest = 250 * time.Millisecond

// next is the time to the next sweep. What changed just now is likely to change again, so
// the time grows with the age of the last change: a node that starts is seen after a quarter
// more than it takes. It is never less than it took to verify all nodes: while something changes
// each sweep does that, and they are not to be busy with it all the time. Nodes that drop links get time to restore them by themselves, and nodes
// whose logs a sweep adds to are swept less often.
func (s *schedule) next(result sweep.Result, previous, current *v1alpha1.MeshStatus, now time.Time) time.Duration {
	if !same(previous, current) {
		s.changed = now
	}
	unchanged := now.Sub(s.changed)
	switch {
	case !result.ReadOnly && slices.ContainsFunc(result.Outcomes, func(o sweep.Outcome) bool { return o.FormerCookie }):
		return changing
	case settled(result, current):
		return max(s.intervals.Settled-s.sweeping, soonest)
	case unchanged > persistentAfter && leavesLogLines(result):
		return max(s.intervals.Persistent-s.sweeping, s.intervals.Unsettled)
	case result.Lost > 0:
		return s.intervals.Unsettled
	case leavesLogLines(result):
		return min(max(unchanged, time.Second), s.intervals.Unsettled)
	default:
		return min(max(unchanged/4, soonest, s.verifying), s.intervals.Unsettled)
	}
}

// leavesLogLines reports whether a sweep with this result adds a line to the log of a
// node: one that aborts a handshake, refuses the canary, or cannot connect to another.
func leavesLogLines(result sweep.Result) bool {
	return len(result.Failed) > 0 || slices.ContainsFunc(result.Outcomes, func(o sweep.Outcome) bool {
		return !o.Verified() && (o.Stage == v1alpha1.StageTLS || o.Stage == v1alpha1.StageHandshake) ||
			o.Canary != nil && !o.Canary.Accepted
	})
}

// settled reports whether the mesh is whole, every refusal is proven, and no CA changes.
func settled(result sweep.Result, mesh *v1alpha1.MeshStatus) bool {
	for _, node := range mesh.Nodes {
		if !node.Verified() || node.Refusals == nil || node.Refusals.Incarnation != node.Incarnation {
			return false
		}
	}
	for _, outcome := range result.Outcomes {
		if outcome.Outdated || outcome.Canary != nil {
			return false
		}
	}
	return result.Mesh.Whole()
}
