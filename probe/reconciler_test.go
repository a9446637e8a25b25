package probe

import (
	"context"
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
	desired := wanted(1)
	desired.credentials = network.Verifier().Credentials
	for _, peer := range network.Peers {
		desired.members = append(desired.members, sweep.Member{Target: peer.Target()})
	}
	var reports []*v1alpha1.MeshStatus
	r := newReconciler(nil, options)
	r.publisher.write = func(_ context.Context, _ *v1alpha1.ErlangCluster, mesh *v1alpha1.MeshStatus) error {
		reports = append(reports, mesh)
		return nil
	}
	return r, network, desired, &reports
}

// TestVerdictsBeforeHealing: verdicts are published before the first link is made, and what
// the next sweep has yet to observe is not taken back meanwhile.
func TestVerdictsBeforeHealing(t *testing.T) {
	r, network, desired, reports := proving(t, 2)
	network.OnConnect(func(string, string) bool {
		if len(*reports) != 1 || (*reports)[0].Nodes[0].Reason != v1alpha1.ReasonVerified {
			t.Errorf("reports before healing: %+v", *reports)
		}
		return false
	})
	_, first := r.prove(t.Context(), chat, desired)
	if first.Nodes[0].Message == "" {
		t.Errorf("no message about the link that failed: %+v", first.Nodes[0])
	}

	*reports = nil
	network.OnConnect(func(string, string) bool { return false })
	if _, second := r.prove(t.Context(), chat, desired); !same(first, second) || len(*reports) > 0 {
		t.Errorf("%d reports: %+v", len(*reports), second)
	}
}

// TestHeartbeatWhileNodesHang: where reports are made every 35 s, because nodes hang, no
// heartbeat is older than a minute. Where they are made every 10 s, one a minute is written.
func TestHeartbeatWhileNodesHang(t *testing.T) {
	for interval, want := range map[time.Duration]time.Duration{35 * time.Second: 35 * time.Second, 10 * time.Second: time.Minute} {
		r, _, _, reports := proving(t, 0)
		for now := noon; now.Before(noon.Add(time.Hour)); now = now.Add(interval) {
			previous := r.publisher.previous(chat)
			if err := r.publisher.publish(t.Context(), chat, previous, report(previous, wanted(1), resultOf(), now)); err != nil {
				t.Fatal(err)
			}
		}
		for i, report := range (*reports)[2:] {
			if age := report.HeartbeatTime.Sub((*reports)[i+1].HeartbeatTime.Time); age != want {
				t.Errorf("where reports are made every %s, a heartbeat is %s old, want %s", interval, age, want)
				break
			}
		}
	}
}
