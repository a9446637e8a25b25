package probe

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/probe/mesh"
	"github.com/erlang-operator/erlang-operator/probe/sweep"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

// report turns the result of a sweep into a status. What is known of a node's incarnation
// is kept while the node cannot be verified.
func report(previous *v1alpha1.MeshStatus, desired desired, result sweep.Result, now time.Time) *v1alpha1.MeshStatus {
	status := &v1alpha1.MeshStatus{
		ObservedGeneration: desired.generation,
		CookieVersion:      desired.cookieVersion,
		Components:         int32(len(result.Mesh.Components())),
		Links:              int32(result.Mesh.Links()),
	}
	for ordinal, outcome := range result.Outcomes {
		pod := desired.names.Pod(int32(ordinal))
		outcome.Silent = verifiedAmong(outcome.Silent, result.Outcomes)
		known := previous.Node(pod)
		node := nodeStatus(known, pod, outcome, result.Mesh, now)
		keepUnobserved(&node, known, result, len(outcome.Silent) > 0)
		status.Nodes = append(status.Nodes, node)
	}
	return status
}

// verifiedAmong are the nodes that are verified: what the others do is reported of themselves.
func verifiedAmong(nodes []string, outcomes []sweep.Outcome) []string {
	return slices.DeleteFunc(slices.Clone(nodes), func(node string) bool {
		return !slices.ContainsFunc(outcomes, func(o sweep.Outcome) bool { return o.Node == node && o.Verified() })
	})
}

func nodeStatus(previous *v1alpha1.NodeStatus, pod string, outcome sweep.Outcome, m mesh.Mesh, now time.Time) v1alpha1.NodeStatus {
	node := v1alpha1.NodeStatus{
		Pod: pod, Node: bounded(outcome.Node, maxNode),
		Stage: outcome.Stage, Reason: bounded(outcome.Reason, maxReason), Message: bounded(outcome.Message, maxMessage),
		Links: int32(len(m.Linked(outcome.Node))), FormerCookie: outcome.FormerCookie,
	}
	for _, peer := range m.Missing(outcome.Node) {
		if len(node.MissingLinks) < v1alpha1.MaxMissingLinks {
			node.MissingLinks = append(node.MissingLinks, podOf(peer))
		}
	}
	setCertificate(&node, outcome)
	setIncarnation(&node, previous, outcome, now)
	if outcome.Verified() {
		setProblem(&node, outcome)
	}
	node.LastTransitionTime = instantOf(now)
	if previous != nil && previous.Reason == node.Reason && previous.LastTransitionTime != nil {
		node.LastTransitionTime = previous.LastTransitionTime
	}
	return node
}

// keepUnobserved keeps what a sweep that is under way has yet to observe, unless it has observed
// silence.
func keepUnobserved(node, previous *v1alpha1.NodeStatus, result sweep.Result, silent bool) {
	if previous == nil || !node.Verified() || previous.Reason != node.Reason || previous.Incarnation != node.Incarnation {
		return
	}
	if !result.Healed && !silent && !node.FormerCookie && !previous.FormerCookie {
		node.Message = previous.Message
	}
	if !result.Tried {
		node.Canary = previous.Canary
	}
}

// setCertificate reports what was seen of the node's certificates in this very sweep.
func setCertificate(node *v1alpha1.NodeStatus, outcome sweep.Outcome) {
	if !outcome.CertificateNotAfter.IsZero() {
		node.CertificateNotAfter = instantOf(outcome.CertificateNotAfter)
	}
	node.CertificateSerial = bounded(outcome.CertificateSerial, maxSerial)
	node.CertificateAuthority = bounded(outcome.CertificateAuthority, maxAuthority)
	if outcome.Canary != nil {
		node.Canary = &v1alpha1.CanaryStatus{CertificateAuthority: bounded(outcome.Canary.Authority, maxAuthority), Result: v1alpha1.CanaryRefused}
		if outcome.Canary.Accepted {
			node.Canary.Result = v1alpha1.CanaryAccepted
		}
	}
}

// setIncarnation reports the incarnation of the node that was seen last, and what was
// found out about it in this sweep or an earlier one.
func setIncarnation(node, previous *v1alpha1.NodeStatus, outcome sweep.Outcome, now time.Time) {
	node.Incarnation, node.PodUID = int64(outcome.Incarnation), bounded(outcome.PodUID, maxUID)
	if node.PodUID == "" && previous != nil && node.Incarnation != 0 && node.Incarnation == previous.Incarnation {
		node.PodUID = previous.PodUID
	}
	same := previous != nil && (node.Incarnation == 0 || node.Incarnation == previous.Incarnation)
	if same {
		node.Incarnation = previous.Incarnation
		node.OTPRelease, node.StartedAt, node.Refusals = previous.OTPRelease, previous.StartedAt, previous.Refusals
	}
	if outcome.OTPRelease != "" {
		node.OTPRelease = bounded(outcome.OTPRelease, maxRelease)
	}
	if node.StartedAt == nil && outcome.Uptime > 0 {
		node.StartedAt = instantOf(now.Add(-outcome.Uptime))
	}
	if outcome.Refusals != nil {
		node.Refusals = &v1alpha1.RefusalStatus{Incarnation: int64(outcome.Refusals.Incarnation), Accepted: outcome.Refusals.Accepted}
	}
}

// setProblem reports what is wrong with a node that passed every stage.
func setProblem(node *v1alpha1.NodeStatus, outcome sweep.Outcome) {
	if node.Refusals != nil && len(node.Refusals.Accepted) > 0 {
		node.Stage, node.Reason = v1alpha1.StageTLS, v1alpha1.ReasonMutualTLSNotEnforced
		node.Message = verify.AcceptedMessage(outcome.Node, node.Refusals.Accepted)
		return
	}
	if outcome.FormerCookie {
		node.Message = verify.FormerCookieMessage(outcome.Node)
		return
	}
	if len(outcome.Silent) > 0 {
		node.Message = verify.SilentMessage(outcome.Node, outcome.Silent[0])
		return
	}
	if len(outcome.Failed) > 0 {
		node.Message = verify.LinkMessage(outcome.Node, outcome.Failed[0].To, outcome.Failed[0].Err)
	}
}

// podOf is the pod of a node: the first label of its host.
func podOf(node string) string {
	_, host, _ := strings.Cut(node, "@")
	pod, _, _ := strings.Cut(host, ".")
	return pod
}

// The most characters that the API accepts. A peer chooses some of the texts, and the API
// server would refuse the whole report for one that is longer.
const (
	maxNode      = 255
	maxReason    = 64
	maxMessage   = 1024
	maxSerial    = 64
	maxAuthority = 16
	maxRelease   = 16
	maxUID       = 36
)

// bounded cuts a text to a number of characters, and replaces what cannot be printed: the
// API server applies no text with control characters in it, which YAML does not allow.
func bounded(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
	if utf8.RuneCountInString(text) > most {
		text = string([]rune(text)[:most])
	}
	return text
}

// instant is a time as the API keeps it: to the second, and with a year of four digits.
func instant(t time.Time) metav1.Time {
	t = t.UTC().Truncate(time.Second)
	if last := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC); t.After(last) {
		t = last
	}
	return metav1.NewTime(t)
}

func instantOf(t time.Time) *metav1.Time {
	at := instant(t)
	return &at
}
