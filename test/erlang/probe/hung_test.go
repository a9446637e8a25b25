//go:build erlang

package probe

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/probe/sweep"
	"github.com/erlang-operator/erlang-operator/probe/verify"
	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// TestHungNodes: a sweep takes no longer when many nodes hang than when one does, and names all of
// them, and no other. Those are frozen in the middle of a mesh, or accept connections and do
// nothing.
func TestHungNodes(t *testing.T) {
	t.Parallel()
	count, hung, most := 5, []int{3}, time.Minute // What else runs may take the processors.
	if *beam.Soak {
		count, hung, most = 100, []int{1, 10, 50}, verify.DefaultLimits().TLS+time.Second
	}
	c := newCluster(t)
	var members []sweep.Member
	var nodes []*beam.Node
	for ordinal := range count {
		host := c.Host(fmt.Sprintf("chat-%d", ordinal))
		node := host.Launch(beam.Options{OTP: "27", Cookie: cookie, FixedPort: port, TLS: c.tls(host)})
		if ordinal%4 == 3 {
			node.AwaitUp()
		}
		nodes, members = append(nodes, node), append(members, sweep.Member{Target: target(node)})
	}
	for _, node := range nodes {
		node.AwaitUp()
	}
	var kept sweep.Kept
	defer kept.Close()
	sweepOnce := func() sweep.Result {
		pass := sweep.Begin(c.verifier, members, sweep.Options{Concurrency: 16, HealingTime: 20 * time.Second, Kept: &kept})
		defer pass.Close()
		var result sweep.Result
		for _, step := range pass.Steps() {
			result = step(t.Context())
		}
		for i, outcome := range result.Outcomes {
			if outcome.Refusals != nil {
				members[i].ProvenAt = outcome.Refusals.Incarnation
			}
		}
		return result
	}
	settle := func() {
		await.Until(t, 5*time.Minute, "a mesh", func(context.Context) error {
			for range 3 {
				if result := sweepOnce(); !result.Mesh.Whole() {
					return fmt.Errorf("parts are %v", result.Mesh.Components())
				}
			}
			return nil
		})
	}
	check := func(what string, first int) {
		t.Helper()
		begun := time.Now()
		result := sweepOnce()
		took := time.Since(begun)
		t.Logf("%s, of %d: the sweep took %s", what, len(members), took.Round(10*time.Millisecond))
		if took > most {
			t.Errorf("%s: the sweep took %s, more than %s", what, took, most)
		}
		for i, outcome := range result.Outcomes {
			if hangs := outcome.Reason == v1alpha1.ReasonHandshakeTimedOut; hangs != (i >= first) || !hangs && !outcome.Verified() {
				t.Errorf("%s: %s is %s: %s", what, outcome.Node, outcome.Reason, outcome.Message)
			}
		}
	}
	settle()
	for _, number := range hung {
		for _, node := range nodes[count-number:] {
			node.Freeze()
		}
		check(fmt.Sprintf("%d frozen nodes", number), count-number)
		for _, node := range nodes[count-number:] {
			node.Thaw()
		}
		settle()
	}
	for ordinal := range hung {
		host := c.Host(fmt.Sprintf("chat-%d", count+ordinal))
		listener := host.Listen(port)
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				go func() { defer func() { _ = conn.Close() }(); _, _ = io.Copy(io.Discard, conn) }()
			}
		}()
		members = append(members, sweep.Member{Target: verify.Target{Node: "chat@" + host.Name, FixedPort: port, Network: "tcp4"}})
	}
	check("nodes that do nothing", count)
}
