package sweep

import (
	"errors"
	"io"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/erlang-operator/erlang-operator/probe/mesh"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

func reasons(result Result) (reasons []string) {
	for _, outcome := range result.Outcomes {
		reasons = append(reasons, outcome.Reason)
	}
	return reasons
}

func checkReasons(t *testing.T, result Result, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, reasons(result)); diff != "" {
		t.Fatalf("reasons (-want +got):\n%s%s", diff, result.Outcomes[0].Message)
	}
}

// TestSweep: the first sweep verifies, links and tries every node. The second changes
// nothing, and does not repeat the trials.
func TestSweep(t *testing.T) {
	n := newNetwork(t, 3)
	members := n.members()

	result := n.run(members, Options{})
	checkReasons(t, result, "Verified", "Verified", "Verified")
	want := []mesh.Edge{{From: n.peers[0].name, To: n.peers[1].name}, {From: n.peers[0].name, To: n.peers[2].name}}
	if diff := cmp.Diff(want, result.Made); diff != "" || !result.Mesh.Whole() {
		t.Errorf("links made (-want +got):\n%sthe parts are %v", diff, result.Mesh.Components())
	}
	for i, outcome := range result.Outcomes {
		want := &Refusals{Incarnation: n.peers[i].incarnation}
		if diff := cmp.Diff(want, outcome.Refusals); diff != "" || outcome.RefusalsError != nil {
			t.Errorf("refusals of %s (-want +got):\n%s%v", outcome.Node, diff, outcome.RefusalsError)
		}
		members[i].ProvenAt = outcome.Incarnation
	}

	refused := n.peers[0].refusals()
	result = n.run(members, Options{})
	if len(result.Made) > 0 || !result.Mesh.Whole() || result.Outcomes[0].Refusals != nil || n.peers[0].refusals() != refused {
		t.Errorf("the second sweep made the links %v and tried %+v", result.Made, result.Outcomes[0].Refusals)
	}
}

// TestSweepAroundFailures: nodes that cannot be verified do not keep the others from being
// linked, and nobody is made to connect to them.
func TestSweepAroundFailures(t *testing.T) {
	n := newNetwork(t, 4)
	n.peers[1].serve = func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
	n.peers[2].serve = func(net.Conn) {}
	n.onConnect(func(from, to string) bool {
		if to == n.peers[1].name || to == n.peers[2].name {
			t.Errorf("%s is made to connect to %s", from, to)
		}
		n.link(from, to)
		return true
	})
	result := n.run(n.members(), Options{})
	checkReasons(t, result, "Verified", "HandshakeTimedOut", "CertificateUnusable", "Verified")
	if !result.Mesh.HasLink(mesh.Edge{From: n.peers[0].name, To: n.peers[3].name}) {
		t.Errorf("parts are %v", result.Mesh.Components())
	}
}

// TestSweepTriesTheOtherEnd: where one node cannot connect to another, the other one
// connects, and the failure is recorded at the first.
func TestSweepTriesTheOtherEnd(t *testing.T) {
	n := newNetwork(t, 2)
	n.onConnect(func(from, to string) bool {
		if from == n.peers[0].name {
			return false
		}
		n.link(from, to)
		return true
	})
	result := n.run(n.members(), Options{})
	if diff := cmp.Diff([]mesh.Edge{{From: n.peers[1].name, To: n.peers[0].name}}, result.Made); diff != "" {
		t.Errorf("links made (-want +got):\n%s", diff)
	}
	if failed := result.Outcomes[0].Failed; len(failed) != 1 || !errors.Is(failed[0].Err, verify.ErrNotConnected) {
		t.Errorf("failed links %v", failed)
	}
}

// TestSweepStopsAtLostLinks: when nodes drop links while one is made, it is the last one of
// the sweep, it is harmful, and it is not made while it rests.
func TestSweepStopsAtLostLinks(t *testing.T) {
	n := newNetwork(t, 4)
	n.link(n.peers[0].name, n.peers[1].name)
	n.onConnect(func(from, to string) bool {
		n.unlink(n.peers[0].name, n.peers[1].name)
		return false
	})
	result := n.run(n.members(), Options{})
	edge := mesh.Edge{From: n.peers[0].name, To: n.peers[2].name}
	if diff := cmp.Diff([]mesh.Edge{edge}, result.Failed); diff != "" || result.Lost != 1 || len(result.Harmful) != 1 {
		t.Errorf("%d links lost, failed (-want +got):\n%s", result.Lost, diff)
	}

	n.onConnect(func(from, to string) bool {
		if (mesh.Edge{From: from, To: to}) == edge {
			t.Error("a harmful link is made")
		}
		n.link(from, to)
		return true
	})
	n.run(n.members(), Options{Harmful: result.Harmful})

	n.peers[2].restart() // It restarted: it may have been fixed.
	for _, p := range n.peers {
		n.unlink(n.peers[2].name, p.name)
	}
	n.onConnect(func(from, to string) bool { n.link(from, to); return true })
	if result := n.run(n.members(), Options{Harmful: result.Harmful}); !result.Mesh.Whole() {
		t.Errorf("a node restarted, and the parts are %v", result.Mesh.Components())
	}
}

// TestSweepPostponesFailedLinks: what failed in the last sweep comes last.
func TestSweepPostponesFailedLinks(t *testing.T) {
	n := newNetwork(t, 3)
	failed := mesh.Edge{From: n.peers[0].name, To: n.peers[1].name}
	result := n.run(n.members(), Options{Postponed: []mesh.Edge{failed}})
	if len(result.Made) == 0 || result.Made[0] == failed {
		t.Errorf("links made %v", result.Made)
	}
}

// TestSweepUpdatesCertificates: a node that serves another certificate than the stored one
// is made to read its files.
func TestSweepUpdatesCertificates(t *testing.T) {
	n := newNetwork(t, 2)
	members := n.members()
	first := n.run(members, Options{})
	members[0].Stored, members[1].Stored = first.Outcomes[0].CertificateSerial, "2a"
	result := n.run(members, Options{})
	for i, want := range []bool{false, true} {
		calls := n.peers[i].called("gen_server:call")
		if result.Outcomes[i].Outdated != want || calls > 0 != want {
			t.Errorf("%s is outdated: %t, and was made to read its files %d times", n.peers[i].name, result.Outcomes[i].Outdated, calls)
		}
	}
}
