// Package status derives from one pass what is reported: conditions, numbers and events.
// It is pure: the same state gives the same status.
package status

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// A Report is what is to be written after a pass.
type Report struct {
	// Status is the manager's part of the status.
	Status v1alpha1.ErlangClusterStatus
	// Changed: the status is not what the cluster has.
	Changed bool
	// Joined are the pods whose readiness gates are to be opened.
	Joined []*corev1.Pod
	// Events to record on the cluster.
	Events []Event
	// RequeueAfter is when to reconcile again though nothing changed; zero for never.
	RequeueAfter time.Duration
}

// Event is something to record on the cluster.
type Event struct {
	Type    string
	Reason  string
	Message string
}

// Outcome is the result of applying the plan.
type Outcome struct {
	// Err is what ended it early, or nil.
	Err error
	// Rejected: the API server will answer the same until somebody fixes the cause.
	Rejected bool
	// Conflicts are objects of other owners that have the names of ours, as kubectl takes them.
	Conflicts []string
	// Contests are objects that another manager changes again and again.
	Contests []state.Contest
	// Ahead: the StatefulSet was changed after it was observed.
	Ahead bool
}

// pass is what the status is derived from.
type pass struct {
	state.State
	plan               plan.Plan
	outcome            Outcome
	storedCertificates []v1alpha1.StoredCertificate
}

// Compute derives the status of a cluster after a plan was made and applied.
func Compute(s state.State, planned plan.Plan, outcome Outcome) Report {
	p := pass{State: s, plan: planned, outcome: outcome}
	p.storedCertificates = p.stored()
	assessed := p.assess()
	status := v1alpha1.ErlangClusterStatus{
		ObservedGeneration: s.Cluster.Generation,
		Conditions:         p.conditions(assessed),
		Replicas:           int32(len(s.Pods)),
		Selector:           labels.SelectorFromSet(plan.Selector(s.Names.Cluster, plan.ComponentNode)).String(),
		Nodes:              fmt.Sprintf("%d/%d", p.verified(), s.Replicas()),
		Links:              fmt.Sprintf("%d/%d", p.links(), p.expectedLinks()),
		StoredCertificates: p.storedCertificates,
		ExpectedNodes:      p.Replicas(),
		VerifiedNodes:      p.verified(),
		ExpectedLinks:      p.expectedLinks(),
		EstablishedLinks:   p.links(),
		Authorities:        p.authorities(),
		Rotation:           p.rotations(),
		Rollout:            p.rollout(),
	}
	if expiry, known := p.firstExpiry(); known {
		status.CertificatesExpire = timeLeft(expiry.Sub(s.Now))
		status.CertificatesExpireAt = &metav1.Time{Time: expiry}
	}
	return Report{
		Status:       status,
		Changed:      changed(s.Cluster.Status, status),
		Joined:       p.joined(),
		Events:       append(conditionEvents(s.Cluster.Status.Conditions, assessed), p.rotationEvents(status.Rotation)...),
		RequeueAfter: p.requeueAfter(),
	}
}

// verified counts the expected nodes that passed every stage.
func (p pass) verified() int32 {
	count := int32(0)
	for _, pod := range p.Names.Pods(p.Replicas()) {
		if node := p.Node(pod); node != nil && node.Verified() {
			count++
		}
	}
	return count
}

func (p pass) expectedLinks() int32 {
	n := p.Replicas()
	return n * (n - 1) / 2
}

// links is what the probe counted; of a mesh that was larger, at most what is
// expected now.
func (p pass) links() int32 {
	if p.Cluster.Status.Mesh == nil {
		return 0
	}
	return min(p.Cluster.Status.Mesh.Links, p.expectedLinks())
}

// firstExpiry is when the first of the nodes' certificates expires.
func (p pass) firstExpiry() (first time.Time, known bool) {
	for _, e := range p.nodeExpiries() {
		if !known || e.notAfter.Before(first) {
			first, known = e.notAfter, true
		}
	}
	return first, known
}

// changed compares the manager's part of a status with another. The API server has
// an order of its own for conditions.
func changed(had, has v1alpha1.ErlangClusterStatus) bool {
	had.Mesh, has.Mesh = nil, nil
	byType := func(a, b metav1.Condition) int { return cmp.Compare(a.Type, b.Type) }
	had.Conditions = slices.SortedFunc(slices.Values(had.Conditions), byType)
	has.Conditions = slices.SortedFunc(slices.Values(has.Conditions), byType)
	return !equality.Semantic.DeepEqual(had, has)
}
