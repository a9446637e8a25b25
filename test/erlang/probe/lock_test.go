//go:build erlang

package probe

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/test/await"
)

// TestTwoProbes: of two probes of a cluster one makes links. When that is cut off from the API
// server, the other begins after the time in which it stops. The first does not begin again when
// it is back.
func TestTwoProbes(t *testing.T) {
	c := newCluster(t)
	k := newKubernetes(t, c)
	names := k.create()
	k.store(c, names, cookie)
	nodes := c.startMembers(names)
	whole := func(s *v1alpha1.MeshStatus) bool {
		return reasons(s, "Verified", "Verified", "Verified") && s.Links == 3
	}
	var renewed time.Time // by the first
	awaitLease := func(what string, wanted func(coordinationv1.LeaseSpec) bool) (spec coordinationv1.LeaseSpec) {
		t.Helper()
		await.Until(t, 2*time.Minute, what, func(ctx context.Context) error {
			var lease coordinationv1.Lease
			err := k.Get(ctx, client.ObjectKey{Namespace: names.Namespace, Name: names.Probe()}, &lease)
			if spec = lease.Spec; err != nil {
				return err
			}
			if *spec.HolderIdentity == "first" {
				renewed = spec.RenewTime.Time
			}
			if !wanted(spec) {
				err = fmt.Errorf("%s holds it since %s, and renewed it at %s", *spec.HolderIdentity, spec.AcquireTime, spec.RenewTime)
			}
			return err
		})
		return spec
	}

	var cutOff, never atomic.Bool
	k.probeAs(c, "first", &cutOff)
	k.awaitReport("a mesh", whole)
	k.probeAs(c, "second", &never)
	since := time.Now()
	awaitLease("the first goes on", func(s coordinationv1.LeaseSpec) bool {
		return *s.HolderIdentity == "first" && s.RenewTime.After(since.Add(2*time.Second))
	})
	cutOff.Store(true)
	taken := awaitLease("the second has taken over", func(s coordinationv1.LeaseSpec) bool { return *s.HolderIdentity == "second" })
	if waited := taken.AcquireTime.Sub(renewed); waited < 17*time.Second {
		t.Errorf("the second took over %s after the first renewed the Lease", waited)
	}
	member := c.dial(nodes[1], cookie)
	c.call(member, "erlang", "disconnect_node", erldist.Atom(nodes[0].Name))
	await.Until(t, time.Minute, "the link is made again", func(ctx context.Context) error {
		answer, err := member.Call(ctx, "erlang", "nodes")
		if err != nil {
			return err
		}
		if peers, _ := erldist.Atoms(answer); !slices.Contains(peers, nodes[0].Name) {
			return fmt.Errorf("peers %v", peers)
		}
		return nil
	})
	cutOff.Store(false)
	back := time.Now()
	kept := awaitLease("the second goes on", func(s coordinationv1.LeaseSpec) bool { return s.RenewTime.After(back.Add(5 * time.Second)) })
	if *kept.HolderIdentity != "second" || *kept.LeaseTransitions != 2 {
		t.Errorf("%s holds the Lease after %d transitions", *kept.HolderIdentity, *kept.LeaseTransitions)
	}
	k.awaitReport("a mesh", whole)
}
