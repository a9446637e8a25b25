package probe

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/probe/probetest"
	"github.com/erlang-operator/erlang-operator/probe/sweep"
)

// proving is a reconciler whose reports are kept, and some peers.
func proving(t *testing.T, size int) (*reconciler, *probetest.Network, desired, *[]*v1alpha1.MeshStatus) {
	t.Helper()
	options, err := Options{Namespace: "default", Cluster: "chat"}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	network := probetest.NewNetwork(t, size)
	options.Limits = network.Verifier().Limits
	options.Resolve = func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil }
	desired := wanted(1)
	desired.credentials = network.Verifier().Credentials
	for _, peer := range network.Peers {
		desired.members = append(desired.members, sweep.Member{Target: peer.Target()})
	}
	var reports []*v1alpha1.MeshStatus
	r := newReconciler(nil, options, &lock{renewed: time.Now(), ours: true})
	r.publisher.write = func(_ context.Context, _ *v1alpha1.ErlangCluster, mesh *v1alpha1.MeshStatus) error {
		reports = append(reports, mesh)
		return nil
	}
	return r, network, desired, &reports
}

// TestVerdictsBeforeHealing: a failure is published before the first link is made, and what
// the next sweep has yet to observe is not taken back meanwhile.
func TestVerdictsBeforeHealing(t *testing.T) {
	r, network, desired, reports := proving(t, 3)
	network.Peers[2].Set(func(p *probetest.Peer) { p.Release = "24" })
	var tries atomic.Int32
	network.OnConnect(func(string, string) bool {
		tries.Add(1)
		if len(*reports) != 1 || (*reports)[0].Nodes[0].Reason != v1alpha1.ReasonVerified || (*reports)[0].Nodes[2].Reason != v1alpha1.ReasonUnsupportedFlags {
			t.Errorf("reports before healing: %+v", *reports)
		}
		return false
	})
	_, first := r.prove(t.Context(), chat, desired)
	if first.Nodes[0].Message == "" || tries.Load() == 0 {
		t.Errorf("no message about the link that failed: %+v", first.Nodes[0])
	}

	*reports = nil
	network.OnConnect(func(string, string) bool { return false })
	if _, second := r.prove(t.Context(), chat, desired); !same(first, second) || len(*reports) > 0 {
		t.Errorf("%d reports: %+v", len(*reports), second)
	}
}

// TestNodeComesBack: a node that is verified again is not reported as one without links while
// its links are made.
func TestNodeComesBack(t *testing.T) {
	r, network, desired, reports := proving(t, 2)
	network.Peers[1].Set(func(p *probetest.Peer) { p.Release = "24" })
	r.prove(t.Context(), chat, desired)
	network.Peers[1].Set(func(p *probetest.Peer) { p.Release = "25" })
	*reports = nil
	r.prove(t.Context(), chat, desired)
	for _, report := range *reports {
		if report.Nodes[1].Verified() && report.Links != 1 {
			t.Errorf("a report of %d links: %+v", report.Links, report)
		}
	}
	if len(*reports) == 0 {
		t.Errorf("no report: %+v", r.publisher.last)
	}
}

// TestLockIsLost: a probe that no longer holds the lock begins no further link, in whatever
// step it is, and continues to verify.
func TestLockIsLost(t *testing.T) {
	r, network, desired, reports := proving(t, 3)
	var links atomic.Int32
	network.OnConnect(func(string, string) bool {
		links.Add(1)
		r.lock.renewed = time.Now().Add(-validity)
		return true
	})
	result, _ := r.prove(t.Context(), chat, desired)
	if links.Load() != 1 || !result.ReadOnly {
		t.Errorf("%d links were made, read-only: %t", links.Load(), result.ReadOnly)
	}
	r.lock.ours = false
	r.publisher.write = writeStatus(nil, r.lock)
	*reports = nil
	result, current := r.prove(t.Context(), chat, desired)
	if links.Load() != 1 || result.Outcomes[2].Reason != v1alpha1.ReasonVerified || current.Nodes[2].Reason != v1alpha1.ReasonVerified {
		t.Errorf("%d links were made; node 2 is %s", links.Load(), result.Outcomes[2].Reason)
	}
}
