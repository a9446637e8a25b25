package status

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/rotation"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// kindDiscoveryInterval is how long until a missing kind is looked up again.
const kindDiscoveryInterval = time.Minute

// requeueAfter is when the status changes although no watch fires: a timeout or a warning
// begins, or a time left reads differently.
func (p pass) requeueAfter() time.Duration {
	var next time.Duration
	in := func(d time.Duration) {
		if d > 0 && (next == 0 || d < next) {
			next = d
		}
	}
	after := func(at time.Time) { in(at.Sub(p.Now) + time.Second) }
	if !p.plan.Again.IsZero() {
		after(p.plan.Again)
	}
	for _, problem := range p.plan.Problems {
		if problem.Reason == v1alpha1.ReasonIssuerKindUnknown {
			in(kindDiscoveryInterval) // No watch reports a new kind.
		}
		if problem.Reason == v1alpha1.ReasonPodIdentityMissing {
			in(time.Minute) // A pod without identity is replaced when it has an age.
		}
	}
	for _, at := range p.startsOverdue() {
		after(at)
	}
	if len(p.TroubledPods())+len(p.TroubledProbes()) > 0 {
		in(podRetryInterval)
	}
	for _, stored := range p.storedCertificates {
		if p.unserved(stored) {
			after(stored.StoredSince.Add(servingTimeout))
		}
	}
	if at, known := rotation.SuccessorDue(p.State, rotation.Wanted(p.State).Name); known {
		after(at)
	}
	if len(p.MissingPods()) > 0 {
		in(podRetryInterval)
	}
	for _, contest := range p.outcome.Contests {
		after(contest.Again)
		after(contest.Over)
	}
	if p.SecretQuota != "" {
		in(time.Minute) // Quotas are not watched.
	}
	for name := range p.Certificates {
		if issuance, waiting := p.Issuance(name); waiting && !issuance.Failed {
			after(issuance.Since.Add(state.StoringTimeout))
			after(issuance.Since.Add(issuingTimeout))
		}
	}
	for _, at := range p.validFrom() {
		after(at)
	}
	for _, e := range p.expiries() {
		after(e.warnAt)
		after(e.urgentAt)
	}
	for _, e := range p.dueExpiries() {
		in(untilTimeLeftChanges(e.notAfter.Sub(p.Now)))
	}
	if first, known := p.firstExpiry(); known {
		in(untilTimeLeftChanges(first.Sub(p.Now)))
	}
	return next
}

// validFrom is when the stored certificates begin to be valid: later than now where the clock
// of the machine that signs is ahead of the manager's.
func (p pass) validFrom() (times []time.Time) {
	for name := range p.Certificates {
		if stored, ok := p.Stored(name); ok {
			times = append(times, stored.X509.NotBefore)
		}
	}
	return times
}

// startsOverdue is when the events of pods are to be looked at, and when what takes time
// while a container starts becomes a fault, or is over.
func (p pass) startsOverdue() (times []time.Time) {
	for _, pod := range slices.Concat(p.Pods, p.ProbePods) {
		if pod.DeletionTimestamp != nil {
			times = append(times, state.StuckAt(pod))
		}
		if node := p.Node(pod.Name); node != nil && p.awaitsDNS(node) {
			times = append(times, dnsDue(&pod))
		}
		if ready := podCondition(&pod, corev1.ContainersReady); ready != nil && ready.Status != corev1.ConditionTrue {
			times = append(times, ready.LastTransitionTime.Add(state.UnreadyTimeout), ready.LastTransitionTime.Add(state.StartingTime))
		}
		for _, container := range state.ContainerStatuses(&pod) {
			if container.State.Running != nil {
				times = append(times, container.State.Running.StartedAt.Add(state.StartingTime))
			}
		}
	}
	return times
}
