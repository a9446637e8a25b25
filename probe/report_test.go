package probe

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/probe/mesh"
	"github.com/erlang-operator/erlang-operator/probe/sweep"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

var (
	chat  = &v1alpha1.ErlangCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "chat"}}
	names = naming.Of(chat, naming.DefaultDomain)
	noon  = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
)

func at(t time.Time) *metav1.Time { return &metav1.Time{Time: t} }

// good is the outcome of a node that is linked to all others of a cluster.
func good(ordinal, of int32) sweep.Outcome {
	outcome := sweep.Outcome{Verdict: verify.Verdict{
		Node:                names.Node(names.Pod(ordinal)),
		Stage:               v1alpha1.StageCall,
		Reason:              v1alpha1.ReasonVerified,
		OTPRelease:          "27",
		Incarnation:         uint32(1000 + ordinal),
		Uptime:              90*time.Second + 300*time.Millisecond,
		CertificateNotAfter: noon.Add(24 * time.Hour),
	}}
	for _, pod := range names.Pods(of) {
		if pod != names.Pod(ordinal) {
			outcome.Peers = append(outcome.Peers, names.Node(pod))
		}
	}
	return outcome
}

func goodCluster(replicas int32) []sweep.Outcome {
	var outcomes []sweep.Outcome
	for ordinal := range replicas {
		outcomes = append(outcomes, good(ordinal, replicas))
	}
	return outcomes
}

// resultOf is what a sweep with these outcomes would have seen.
func resultOf(outcomes ...sweep.Outcome) sweep.Result {
	var expected []string
	views := map[string][]string{}
	for _, outcome := range outcomes {
		expected = append(expected, outcome.Node)
		if outcome.Verified() {
			views[outcome.Node] = outcome.Peers
		}
	}
	return sweep.Result{Outcomes: outcomes, Mesh: mesh.Of(expected, views), Healed: true, Tried: true}
}

// wanted is what should be true of chat at a generation.
func wanted(generation int64) desired { return desired{generation: generation, names: names} }

func TestReportOfGoodCluster(t *testing.T) {
	outcomes := goodCluster(2)
	outcomes[0].Refusals = &sweep.Refusals{Incarnation: 1000}
	got := report(nil, wanted(7), resultOf(outcomes...), noon.Add(400*time.Millisecond))
	want := &v1alpha1.MeshStatus{
		ObservedGeneration: 7, Components: 1, Links: 1,
		Nodes: []v1alpha1.NodeStatus{{
			Pod: "chat-0", Node: "chat@chat-0.chat-nodes.default.svc.cluster.local",
			Stage: v1alpha1.StageCall, Reason: v1alpha1.ReasonVerified, LastTransitionTime: at(noon),
			OTPRelease: "27", Incarnation: 1000, StartedAt: at(noon.Add(-90 * time.Second)),
			Links: 1, CertificateNotAfter: at(noon.Add(24 * time.Hour)),
			Refusals: &v1alpha1.RefusalStatus{Incarnation: 1000},
		}, {
			Pod: "chat-1", Node: "chat@chat-1.chat-nodes.default.svc.cluster.local",
			Stage: v1alpha1.StageCall, Reason: v1alpha1.ReasonVerified, LastTransitionTime: at(noon),
			OTPRelease: "27", Incarnation: 1001, StartedAt: at(noon.Add(-90 * time.Second)),
			Links: 1, CertificateNotAfter: at(noon.Add(24 * time.Hour)),
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

// TestReportIsStable: a later sweep of the same nodes changes nothing, although the nodes are
// older by then.
func TestReportIsStable(t *testing.T) {
	first := report(nil, wanted(1), resultOf(goodCluster(3)...), noon)
	later := goodCluster(3)
	for i := range later {
		later[i].Uptime += 10*time.Second + 700*time.Millisecond
	}
	second := report(first, wanted(1), resultOf(later...), noon.Add(10*time.Second))
	if !same(first, second) {
		t.Errorf("the status changed (-before +after):\n%s", cmp.Diff(first, second))
	}
}

// TestReportOfFailure: a node that cannot be spoken to any more keeps what is known
// of its incarnation, and the time of the transition is that of the reason.
func TestReportOfFailure(t *testing.T) {
	outcomes := goodCluster(3)
	outcomes[2].Refusals = &sweep.Refusals{Incarnation: 1002}
	first := report(nil, wanted(1), resultOf(outcomes...), noon)

	broken := goodCluster(3)
	broken[0].Peers, broken[1].Peers = broken[0].Peers[:1], broken[1].Peers[:1]
	broken[2].Verdict = verify.Verdict{
		Node: broken[2].Node, Stage: v1alpha1.StageHandshake, Reason: v1alpha1.ReasonCookieMismatch, Message: "why",
	}
	second := report(first, wanted(1), resultOf(broken...), noon.Add(10*time.Second))
	want := v1alpha1.NodeStatus{
		Pod: "chat-2", Node: broken[2].Node,
		Stage: v1alpha1.StageHandshake, Reason: v1alpha1.ReasonCookieMismatch, Message: "why",
		LastTransitionTime: at(noon.Add(10 * time.Second)),
		OTPRelease:         "27", Incarnation: 1002, StartedAt: first.Nodes[2].StartedAt,
		Refusals: &v1alpha1.RefusalStatus{Incarnation: 1002},
	}
	if diff := cmp.Diff(want, second.Nodes[2]); diff != "" {
		t.Errorf("status of the failed node (-want +got):\n%s", diff)
	}
	if second.Components != 2 || second.Links != 1 {
		t.Errorf("%d parts and %d links, want 2 and 1", second.Components, second.Links)
	}
	if diff := cmp.Diff([]string{"chat-2"}, second.Nodes[0].MissingLinks); diff != "" {
		t.Errorf("missing links of chat-0 (-want +got):\n%s", diff)
	}

	third := report(second, wanted(1), resultOf(broken...), noon.Add(15*time.Second))
	if !same(second, third) {
		t.Errorf("the status changed (-before +after):\n%s", cmp.Diff(second, third))
	}
}

// TestReportOfRestart: a new incarnation starts from nothing, and is to be proven.
func TestReportOfRestart(t *testing.T) {
	outcomes := goodCluster(1)
	outcomes[0].Refusals = &sweep.Refusals{Incarnation: 1000}
	first := report(nil, wanted(1), resultOf(outcomes...), noon)

	restarted := goodCluster(1)
	restarted[0].Incarnation, restarted[0].Uptime, restarted[0].OTPRelease = 2000, time.Second, "29"
	second := report(first, wanted(1), resultOf(restarted...), noon.Add(time.Minute)).Nodes[0]
	if second.Incarnation != 2000 || second.OTPRelease != "29" || !second.StartedAt.Equal(at(noon.Add(59*time.Second))) {
		t.Errorf("incarnation %d, OTP %s, started at %s", second.Incarnation, second.OTPRelease, second.StartedAt)
	}
	if second.Refusals != nil {
		t.Errorf("the new incarnation has the refusals of the old: %+v", second.Refusals)
	}

	members := members(chat, names, &v1alpha1.MeshStatus{Nodes: []v1alpha1.NodeStatus{first.Nodes[0]}}, "", nil)
	if members[0].ProvenAt != 1000 {
		t.Errorf("proven at %d, want 1000", members[0].ProvenAt)
	}
}

func TestReportOfAcceptedTrials(t *testing.T) {
	outcomes := goodCluster(1)
	outcomes[0].Refusals = &sweep.Refusals{Incarnation: 1000, Accepted: []v1alpha1.RefusalTrial{v1alpha1.TrialNoCertificate}}
	first := report(nil, wanted(1), resultOf(outcomes...), noon)
	// It stays so without another trial, until the node restarts.
	second := report(first, wanted(1), resultOf(goodCluster(1)...), noon.Add(time.Minute))
	for _, status := range []*v1alpha1.MeshStatus{first, second} {
		if node := status.Nodes[0]; node.Reason != v1alpha1.ReasonMutualTLSNotEnforced || node.Message == "" {
			t.Errorf("verdict is %s: %s", node.Reason, node.Message)
		}
	}
}

// TestReportOfCertificates: what is reported of a node's certificates was observed in the
// same sweep. Nothing is reported of a node that cannot be checked, so a rotation waits.
func TestReportOfCertificates(t *testing.T) {
	outcomes := goodCluster(1)
	outcomes[0].CertificateSerial, outcomes[0].CertificateAuthority = "2a", "0123456789abcdef"
	outcomes[0].Canary = &sweep.Canary{Authority: "fedcba9876543210", Accepted: true}
	first := report(nil, wanted(1), resultOf(outcomes...), noon)
	node := first.Nodes[0]
	want := &v1alpha1.CanaryStatus{CertificateAuthority: "fedcba9876543210", Result: v1alpha1.CanaryAccepted}
	if diff := cmp.Diff(want, node.Canary); diff != "" || node.CertificateSerial != "2a" || node.CertificateAuthority != "0123456789abcdef" {
		t.Errorf("certificate %s of %s, canary (-want +got):\n%s", node.CertificateSerial, node.CertificateAuthority, diff)
	}

	outcomes[0].Verdict = verify.Verdict{Node: outcomes[0].Node, Stage: v1alpha1.StageConnect, Reason: v1alpha1.ReasonConnectionRefused}
	outcomes[0].Canary = nil
	node = report(first, wanted(1), resultOf(outcomes...), noon.Add(time.Minute)).Nodes[0]
	if node.CertificateSerial != "" || node.CertificateAuthority != "" || node.Canary != nil {
		t.Errorf("of a node that is down: %+v", node)
	}
}

// TestMembersStoredCertificates: the probe learns from the status which certificate is
// stored.
func TestMembersStoredCertificates(t *testing.T) {
	cluster := chat.DeepCopy()
	cluster.Spec.Replicas = new(int32)
	*cluster.Spec.Replicas = 2
	cluster.Status.StoredCertificates = []v1alpha1.StoredCertificate{{Pod: "chat-1", CertificateSerial: "2a"}, {Pod: "chat-7", CertificateSerial: "2b"}}
	members := members(cluster, names, nil, "", nil)
	if members[0].Stored != "" || members[1].Stored != "2a" {
		t.Errorf("stored are %q and %q", members[0].Stored, members[1].Stored)
	}
}

func TestReportOfFailedLink(t *testing.T) {
	outcomes := goodCluster(2)
	outcomes[0].Peers, outcomes[1].Peers = nil, nil
	outcomes[0].Failed = []sweep.FailedLink{{To: outcomes[1].Node, Err: errors.New("no")}}
	status := report(nil, wanted(1), resultOf(outcomes...), noon)
	node := status.Nodes[0]
	if node.Reason != v1alpha1.ReasonVerified || node.Message == "" || node.Links != 0 || status.Components != 2 {
		t.Errorf("status %+v", status)
	}
}

// TestReportOfSilentLink: a link over which a node gets no answer is missing at both ends, and
// the node that got none says so, rather than why another link was not made.
func TestReportOfSilentLink(t *testing.T) {
	outcomes := goodCluster(2)
	outcomes[0].Silent = []string{outcomes[1].Node}
	outcomes[0].Failed = []sweep.FailedLink{{To: outcomes[1].Node, Err: errors.New("no")}}
	result := resultOf(outcomes...)
	result.Mesh = result.Mesh.Without([]mesh.Edge{{From: outcomes[0].Node, To: outcomes[1].Node}})
	status := report(nil, wanted(1), result, noon)
	for _, node := range status.Nodes {
		if !node.Verified() || node.Links != 0 || len(node.MissingLinks) != 1 || status.Components != 2 {
			t.Errorf("status %+v", status)
		}
	}
	if says := status.Nodes[0].Message; !strings.Contains(says, "gets no answer over that link") || status.Nodes[1].Message != "" {
		t.Errorf("messages %q and %q", says, status.Nodes[1].Message)
	}
}

// TestSilentNodeIsReportedOfItself: a node that hangs answers neither the probe nor the others,
// and these do not say that it is verified.
func TestSilentNodeIsReportedOfItself(t *testing.T) {
	outcomes := goodCluster(3)
	outcomes[1].Stage, outcomes[1].Reason = v1alpha1.StageTLS, v1alpha1.ReasonHandshakeTimedOut
	outcomes[0].Silent = []string{"observer@elsewhere.example.com", outcomes[1].Node}
	outcomes[2].Silent = []string{outcomes[1].Node, outcomes[0].Node}
	status := report(nil, wanted(1), resultOf(outcomes...), noon)
	if says := status.Nodes[0].Message; says != "" {
		t.Errorf("message %q", says)
	}
	if says := status.Nodes[2].Message; !strings.Contains(says, outcomes[0].Node) {
		t.Errorf("message %q", says)
	}
}

// TestReportOfHostileNodes: whatever peers say, the report is one that the API accepts, and
// the same the next time. TestHostileNodes in test/envtest has the API server decide.
func TestReportOfHostileNodes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := func(name string) string {
			return strings.Repeat(rapid.String().Draw(t, name), rapid.IntRange(0, 2000).Draw(t, name+" repeated")) +
				string(rapid.SliceOf(rapid.Byte()).Draw(t, name+" bytes"))
		}
		outcome := good(0, 1)
		outcome.Message, outcome.OTPRelease, outcome.CertificateSerial, outcome.CertificateAuthority = text("message"), text("release"), text("serial"), text("authority")
		outcome.Canary = &sweep.Canary{Authority: text("canary")}
		outcome.Uptime = time.Duration(rapid.Int64().Draw(t, "uptime"))
		outcome.CertificateNotAfter = time.Unix(rapid.Int64Range(-1<<40, 1<<40).Draw(t, "not after"), 0)
		if rapid.Bool().Draw(t, "failed") {
			outcome.Reason = v1alpha1.ReasonNotErlang
		}

		status := report(nil, wanted(1), resultOf(outcome), noon)
		node := status.Nodes[0]
		for bound, texts := range map[int][]string{
			maxMessage: {node.Message}, maxSerial: {node.CertificateSerial},
			maxRelease: {node.OTPRelease, node.CertificateAuthority, node.Canary.CertificateAuthority},
		} {
			for _, text := range texts {
				if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) || utf8.RuneCountInString(text) > bound {
					t.Fatalf("%q of %d characters, more than %d", text, utf8.RuneCountInString(text), bound)
				}
			}
		}
		for _, at := range []*metav1.Time{node.StartedAt, node.CertificateNotAfter} {
			if at != nil && at.Year() > 9999 {
				t.Fatalf("time %s", at)
			}
		}
		if again := report(status, wanted(1), resultOf(outcome), noon); !same(status, again) {
			t.Fatalf("the status changed (-before +after):\n%s", cmp.Diff(status, again))
		}
	})
}

// TestReportIsBounded: the API takes so many missing links.
func TestReportIsBounded(t *testing.T) {
	outcomes := goodCluster(20)
	for i := range outcomes {
		outcomes[i].Peers = nil
	}
	node := report(nil, wanted(1), resultOf(outcomes...), noon).Nodes[3]
	want := []string{"chat-0", "chat-1", "chat-2", "chat-4", "chat-5", "chat-6", "chat-7", "chat-8"}
	if diff := cmp.Diff(want, node.MissingLinks); diff != "" {
		t.Errorf("missing links (-want +got):\n%s", diff)
	}
}

func TestMembers(t *testing.T) {
	for name, tc := range map[string]struct {
		replicas     *int32
		distribution v1alpha1.DistributionSpec
		want         []sweep.Member
	}{
		"one by default": {
			distribution: v1alpha1.DistributionSpec{Discovery: v1alpha1.DiscoveryEPMD, Ports: v1alpha1.PortRange{Min: 9100, Max: 9109}},
			want: []sweep.Member{{Target: verify.Target{
				Node: "chat@chat-0.chat-nodes.default.svc.cluster.local", Network: "tcp4", Ports: verify.PortRange{Min: 9100, Max: 9109},
			}}},
		},
		"none": {replicas: new(int32), want: []sweep.Member{}},
		"fixed port, other basename": {
			distribution: v1alpha1.DistributionSpec{
				NodeBasename: "node", Discovery: v1alpha1.DiscoveryFixedPort, Ports: v1alpha1.PortRange{Min: 4370, Max: 9109},
			},
			want: []sweep.Member{{Target: verify.Target{
				Node: "node@chat-0.chat-nodes.default.svc.cluster.local", Network: "tcp4", FixedPort: 4370,
			}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := chat.DeepCopy()
			cluster.Spec.Replicas, cluster.Spec.Distribution = tc.replicas, tc.distribution
			if diff := cmp.Diff(tc.want, members(cluster, naming.Of(cluster, naming.DefaultDomain), nil, "", nil)); diff != "" {
				t.Errorf("members (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPodOf(t *testing.T) {
	for ordinal := range int32(3) {
		if got, want := podOf(names.Node(names.Pod(ordinal))), fmt.Sprintf("chat-%d", ordinal); got != want {
			t.Errorf("pod is %q, want %q", got, want)
		}
	}
}
