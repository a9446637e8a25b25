// Package report says what one pass found: conditions, numbers and events. It is
// pure; the same state gives the same status.
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
	"github.com/erlang-operator/erlang-operator/controllers/internal/rotation"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// HeartbeatTimeout is how old the probe's last word may be. It speaks at least once
// a minute, and a sweep over unreachable nodes takes its time too.
const HeartbeatTimeout = 3 * time.Minute

// kindsAgain is how long until a kind is looked for again.
const kindsAgain = time.Minute

// A Report is what there is to say after a pass.
type Report struct {
	// Status is the manager's part of the status.
	Status v1alpha1.ErlangClusterStatus
	// Changed says that the status is not what the cluster has.
	Changed bool
	// Joined are the pods to be told that they have joined, for the first time.
	Joined []*corev1.Pod
	// Events that people should see.
	Events []Event
	// Again is when to look again though nothing changed; zero for never.
	Again time.Duration
}

// Event is something to record on the cluster.
type Event struct {
	Type    string
	Reason  string
	Message string
}

// Outcome is what came of carrying out the plan.
type Outcome struct {
	// Err is what ended it early, or nil.
	Err error
	// Refused: the API server will say the same again until somebody mends the spec.
	Refused bool
	// Foreign: an object of somebody else's is in the way.
	Foreign bool
}

// Describe says how a cluster is, after a plan was made and carried out.
func Describe(s state.State, p plan.Plan, outcome Outcome) Report {
	v := view{State: s, plan: p, outcome: outcome}
	v.members = v.stored()
	status := v1alpha1.ErlangClusterStatus{
		ObservedGeneration: s.Cluster.Generation,
		Conditions:         v.conditions(),
		Replicas:           int32(len(s.Pods)),
		Selector:           labels.SelectorFromSet(plan.Selector(s.Names.Cluster, plan.ComponentNode)).String(),
		Nodes:              fmt.Sprintf("%d/%d", v.verified(), s.Replicas()),
		Links:              fmt.Sprintf("%d/%d", v.links(), v.expectedLinks()),
		StoredCertificates: v.members,
		ExpectedNodes:      v.Replicas(),
		VerifiedNodes:      v.verified(),
		ExpectedLinks:      v.expectedLinks(),
		EstablishedLinks:   v.links(),
		Authorities:        v.authorities(),
		Rotating:           v.rotating(),
	}
	expiry, known := v.firstExpiry()
	if known {
		status.CertificatesExpire = timeLeft(expiry.Sub(s.Now))
		status.CertificatesExpireAt = &metav1.Time{Time: expiry}
	}
	return Report{
		Status:  status,
		Changed: changed(s.Cluster.Status, status),
		Joined:  v.joined(),
		Events:  append(events(s.Cluster.Status.Conditions, status.Conditions), v.rotations(status.Rotating)...),
		Again:   v.again(expiry, known),
	}
}

// view is a state seen with the question how the cluster is.
type view struct {
	state.State
	plan    plan.Plan
	outcome Outcome
	members []v1alpha1.StoredCertificate
}

// verified counts the expected nodes that passed every stage.
func (v view) verified() int32 {
	count := int32(0)
	for _, pod := range v.Names.Pods(v.Replicas()) {
		if node := v.Node(pod); node != nil && node.Verified() {
			count++
		}
	}
	return count
}

func (v view) expectedLinks() int32 {
	n := v.Replicas()
	return n * (n - 1) / 2
}

// links is what the probe counted; of a mesh that was larger, at most what is
// expected now.
func (v view) links() int32 {
	if v.Cluster.Status.Mesh == nil {
		return 0
	}
	return min(v.Cluster.Status.Mesh.Links, v.expectedLinks())
}

// firstExpiry is when the first of the members' certificates expires.
func (v view) firstExpiry() (first time.Time, known bool) {
	for _, e := range v.memberExpiries() {
		if !known || e.at.Before(first) {
			first, known = e.at, true
		}
	}
	return first, known
}

// joined are the pods whose node is verified and linked to all that it can be
// linked to. They are told once: a gate that flaps takes services down.
func (v view) joined() []*corev1.Pod {
	var pods []*corev1.Pod
	for _, name := range v.Names.Pods(v.Replicas()) {
		pod, node := v.Pod(name), v.Node(name)
		if pod == nil || node == nil || told(pod) || !node.Verified() || v.predates(node, pod) {
			continue
		}
		alone := false
		for _, other := range node.MissingLinks {
			if peer := v.Node(other); peer != nil && peer.Verified() {
				alone = true
			}
		}
		if !alone {
			pods = append(pods, pod)
		}
	}
	return pods
}

// predates says that a verdict is about an earlier pod of the same name.
func (v view) predates(node *v1alpha1.NodeStatus, pod *corev1.Pod) bool {
	return node.StartedAt == nil || node.StartedAt.Time.Add(clockTolerance).Before(pod.CreationTimestamp.Time)
}

// clockTolerance is how far the clocks of two machines may be apart.
const clockTolerance = 2 * time.Second

func told(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == v1alpha1.ReadinessGate && condition.Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}

// again is when something will be different without anybody telling: the probe's
// silence becomes too long, or the time left reads otherwise.
func (v view) again(firstExpiry time.Time, expiryKnown bool) time.Duration {
	var next time.Duration
	sooner := func(d time.Duration) {
		if d > 0 && (next == 0 || d < next) {
			next = d
		}
	}
	if mesh := v.Cluster.Status.Mesh; mesh != nil {
		sooner(mesh.HeartbeatTime.Add(HeartbeatTimeout).Sub(v.Now) + time.Second)
	}
	for _, problem := range v.plan.Problems {
		if problem.Reason == v1alpha1.ReasonIssuerKindUnknown {
			sooner(kindsAgain) // No watch tells of a new kind.
		}
	}
	for _, member := range v.members {
		if v.unserved(member) {
			sooner(member.StoredSince.Add(servingTimeout).Sub(v.Now) + time.Second)
		}
	}
	if at, known := rotation.SuccessorDue(v.State, rotation.Wanted(v.State).Name); known {
		sooner(at.Sub(v.Now) + time.Second)
	}
	for _, e := range v.expiries() {
		sooner(e.first.Sub(v.Now) + time.Second)
		sooner(e.second.Sub(v.Now) + time.Second)
	}
	for _, e := range v.worrying() {
		sooner(untilReadsOtherwise(e.at.Sub(v.Now)))
	}
	for name := range v.Certificates {
		if issuance, awaited := v.Issuance(name); awaited && !issuance.Failed {
			sooner(issuance.Since.Add(issuingTimeout).Sub(v.Now) + time.Second)
		}
	}
	if expiryKnown {
		sooner(untilReadsOtherwise(firstExpiry.Sub(v.Now)))
	}
	return next
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
