//go:build erlang

package probe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/probe/mesh"
	"github.com/erlang-operator/erlang-operator/probe/sweep"
	"github.com/erlang-operator/erlang-operator/probe/verify"
	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// Nodes of three releases become one mesh, with one call less than there
// are nodes; one whose cookie was changed, and that lost its links, is named while
// the others stay together; and when that is undone it comes back.
func TestHeal(t *testing.T) {
	c := newCluster(t)
	var nodes []*beam.Node
	for ordinal, otp := range beam.Releases {
		nodes = append(nodes, c.start(otp, ordinal))
	}

	result := c.sweep(nodes)
	c.wantReasons(result, "Verified", "Verified", "Verified")
	if !result.Mesh.Whole() || len(result.Made) != 2 {
		t.Fatalf("%d links made, the parts are %v", len(result.Made), result.Mesh.Components())
	}
	for i, outcome := range result.Outcomes {
		if outcome.Refusals == nil || len(outcome.Refusals.Accepted) > 0 || outcome.Refusals.Incarnation != outcome.Incarnation {
			t.Errorf("refusals of %s: %+v, %v", outcome.Node, outcome.Refusals, outcome.RefusalsError)
		}
		if outcome.PodUID != podUID(i) {
			t.Errorf("%s reports that it runs in pod %q", outcome.Node, outcome.PodUID)
		}
		if outcome.OTPRelease != beam.Releases[i] || outcome.Uptime <= 0 || outcome.CertificateNotAfter.IsZero() {
			t.Errorf("%s runs OTP %s for %s with a certificate until %s", outcome.Node, outcome.OTPRelease, outcome.Uptime, outcome.CertificateNotAfter)
		}
	}

	if result := c.sweep(nodes); len(result.Made) != 0 || !result.Mesh.Whole() {
		t.Errorf("a whole mesh was given the links %v", result.Made)
	}

	odd := c.dial(nodes[2], cookie)
	c.call(odd, "erlang", "set_cookie", erldist.Atom("An0therCookie"))
	c.call(odd, "erlang", "disconnect_node", erldist.Atom(nodes[0].Name))
	c.call(odd, "erlang", "disconnect_node", erldist.Atom(nodes[1].Name))

	result = c.sweep(nodes)
	c.wantReasons(result, "Verified", "Verified", "CookieMismatch")
	if diff := cmp.Diff([][]string{{nodes[0].Name, nodes[1].Name}, {nodes[2].Name}}, result.Mesh.Components()); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}

	c.call(odd, "erlang", "set_cookie", erldist.Atom(cookie))
	result = c.sweep(nodes)
	c.wantReasons(result, "Verified", "Verified", "Verified")
	if !result.Mesh.Whole() || len(result.Made) != 1 {
		t.Errorf("%d links made, the parts are %v", len(result.Made), result.Mesh.Components())
	}
}

// Nodes that start together become one mesh by links that are made at once, and OTP is content
// with it: it drops none of them, and a name that is registered on one is known on all. With
// -soak they lose all links and become one mesh again, many times.
func TestHealFromNothing(t *testing.T) {
	t.Parallel()
	again := 1
	if *beam.Soak {
		again = 50
	}
	const count = 9
	c := newCluster(t)
	var nodes []*beam.Node
	for ordinal := range count {
		host := c.Host(fmt.Sprintf("chat-%d", ordinal))
		nodes = append(nodes, host.Launch(beam.Options{OTP: beam.Releases[ordinal%len(beam.Releases)], Cookie: cookie, FixedPort: port, TLS: c.tls(host)}))
	}
	var conns []*erldist.Conn
	for _, node := range nodes {
		node.AwaitUp()
		conns = append(conns, c.dial(node, cookie))
	}
	for round := range again {
		begun := time.Now()
		made := c.awaitWhole(nodes)
		t.Logf("the mesh was made in %s", time.Since(begun).Round(time.Millisecond))
		if *beam.Soak && len(made) != count-1 {
			t.Fatalf("made %v", made)
		}
		name := erldist.Atom(fmt.Sprintf("name_%d", round))
		if c.call(conns[round%count], "global", "register_name", name, c.call(conns[round%count], "erlang", "whereis", erldist.Atom("init"))) != erldist.Term(erldist.Atom("yes")) {
			t.Fatalf("%s cannot be registered", name)
		}
		for i, conn := range conns {
			await.Until(t, 2*time.Minute, nodes[i].Name+" knows the name", func(ctx context.Context) error {
				answer, err := conn.Call(ctx, "global", "whereis_name", name)
				if _, known := answer.(erldist.Pid); err == nil && !known {
					err = errors.New("it does not")
				}
				return err
			})
		}
		c.call(conns[round%count], "global", "unregister_name", name) // A process may have one.
		if result := c.sweep(nodes); !result.Mesh.Whole() || len(result.Made) > 0 {
			t.Fatalf("made %v, the parts are %v", result.Made, result.Mesh.Components())
		}
		if round+1 < again {
			c.unlinkAll(nodes, conns)
		}
	}
}

// unlinkAll has all nodes disconnect from all others.
func (c *cluster) unlinkAll(nodes []*beam.Node, conns []*erldist.Conn) {
	await.Until(c.t, 2*time.Minute, "no node is linked", func(ctx context.Context) error {
		links := 0
		for _, conn := range conns {
			for _, node := range nodes {
				answer, err := conn.Call(ctx, "erlang", "disconnect_node", erldist.Atom(node.Name))
				if err != nil {
					return err
				}
				if answer == erldist.Term(erldist.Atom("true")) {
					links++
				}
			}
		}
		if links > 0 {
			return fmt.Errorf("%d were", links)
		}
		return nil
	})
}

// A link over which packets are lost in one direction is missing long before OTP ends it, no
// matter which end is the deaf one. No other is made in its place, and it is one of the mesh
// again when the packets arrive.
func TestSilentLink(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	var nodes []*beam.Node
	for ordinal, otp := range beam.Releases {
		nodes = append(nodes, c.start(otp, ordinal))
	}
	if result := c.sweep(nodes); !result.Mesh.Whole() {
		t.Fatalf("the parts are %v", result.Mesh.Components())
	}
	for _, pair := range [][2]*beam.Node{{nodes[0], nodes[1]}, {nodes[2], nodes[0]}} {
		restore := pair[0].Host.CutOffFrom(pair[1].Host)
		result := c.sweep(nodes)
		c.wantReasons(result, "Verified", "Verified", "Verified")
		for end, node := range pair {
			if diff := cmp.Diff([]string{pair[1-end].Name}, result.Mesh.Missing(node.Name)); diff != "" {
				t.Errorf("links that %s misses (-want +got):\n%s", node.Name, diff)
			}
		}
		if len(result.Made) > 0 || len(result.Failed) > 0 {
			t.Errorf("made %v, failed %v", result.Made, result.Failed)
		}
		restore()
		await.Until(t, 2*time.Minute, "the link is answered again", func(context.Context) error {
			if result := c.sweep(nodes); !result.Mesh.Whole() || len(result.Made) > 0 {
				return fmt.Errorf("made %v, the parts are %v", result.Made, result.Mesh.Components())
			}
			return nil
		})
	}
}

// Two nodes that cannot connect, and have lost each other, are kept apart once that is known:
// the others keep what they have, and the logs of the nodes stay quiet. When the network is
// back, one sweep makes all of them one mesh.
func TestHealKeepsApart(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	var nodes []*beam.Node
	var members []sweep.Member
	for ordinal := range 4 {
		nodes = append(nodes, c.start(beam.Releases[ordinal%len(beam.Releases)], ordinal))
		members = append(members, sweep.Member{Target: target(nodes[ordinal])})
	}
	result := c.sweep(nodes)
	if !result.Mesh.Whole() {
		t.Fatalf("the parts are %v", result.Mesh.Components())
	}
	for i, outcome := range result.Outcomes {
		members[i].ProvenAt = outcome.Incarnation // No refusals, which are logged, are tried again.
	}
	one, other := nodes[1], nodes[2]
	restore := []func(){one.Host.CutOffFrom(other.Host), other.Host.CutOffFrom(one.Host)}
	c.call(c.dial(one, cookie), "erlang", "disconnect_node", erldist.Atom(other.Name)) // as OTP does after net_ticktime
	var suspects []mesh.Edge
	again := func() sweep.Result {
		result := sweep.Run(deadline(t), c.verifier, members, sweep.Options{Concurrency: 16, HealingTime: 20 * time.Second, Suspects: suspects})
		suspects = result.Suspects
		return result
	}
	await.Until(t, 5*time.Minute, "nothing changes any more", func(context.Context) error {
		if result := again(); result.Lost > 0 || len(result.Made) > 0 || len(suspects) == 0 {
			return fmt.Errorf("%d links lost, made %v, suspects %v", result.Lost, result.Made, suspects)
		}
		return nil
	})
	var logged []int
	for _, node := range nodes {
		logged = append(logged, len(node.Log()))
	}
	before := again().Mesh.Components()
	after := again()
	if diff := cmp.Diff(before, after.Mesh.Components()); diff != "" || len(before) < 2 || len(after.Harmful) > 0 {
		t.Errorf("harmful %v, the parts (-before +after):\n%s", after.Harmful, diff)
	}
	for i, node := range nodes {
		if more := node.Log()[logged[i]:]; more != "" {
			t.Errorf("%s logs\n%s", node.Name, more)
		}
	}
	for _, end := range restore {
		end()
	}
	if result := again(); !result.Mesh.Whole() || len(suspects) > 0 {
		t.Errorf("made %v, suspects %v, the parts are %v", result.Made, suspects, result.Mesh.Components())
	}
}

// unhurried is a reason on a machine that is not busy: how long a handshake takes is chance here.
func unhurried(reason string) string {
	if reason == v1alpha1.ReasonSlowHandshake {
		return v1alpha1.ReasonVerified
	}
	return reason
}

func (c *cluster) wantReasons(result sweep.Result, want ...string) {
	c.t.Helper()
	var got []string
	for _, outcome := range result.Outcomes {
		got = append(got, unhurried(outcome.Reason))
		if outcome.Reason != v1alpha1.ReasonVerified {
			c.t.Logf("%s at %s: %s", outcome.Reason, outcome.Stage, outcome.Message)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		c.t.Fatalf("reasons (-want +got):\n%s\nfirst message: %s", diff, result.Outcomes[0].Message)
	}
}

// Nodes that cannot be verified delay no other node, and are not linked.
func TestHealAround(t *testing.T) {
	c := newCluster(t)
	nodes := []*beam.Node{c.start("25", 0), c.start("27", 1), c.start("29", 2)}
	wrong := c.Host("chat-3")
	nodes = append(nodes, wrong.Start(beam.Options{OTP: "27", Cookie: cookie, FixedPort: port, TLS: &beam.TLS{
		Identity: c.ca.Issue("somebody.else"), CAs: c.ca.PEM,
	}}))
	nodes[1].Host.Blackhole()

	conns := []*erldist.Conn{c.dial(nodes[0], cookie), c.dial(nodes[2], cookie)}
	// Of a busy machine, the best of some sweeps counts.
	var result sweep.Result
	took, most := time.Duration(0), 2*c.verifier.Limits.ConnectDistribution+3*time.Second // what times out is tried twice
	for try := 1; try == 1 || took > most && try <= 5; try++ {
		c.unlinkAll([]*beam.Node{nodes[0], nodes[2]}, conns)
		begun := time.Now()
		result = c.sweep(nodes)
		took = time.Since(begun)
	}
	c.wantReasons(result, "Verified", "ConnectionTimedOut", "Verified", "CertificateNameMismatch")
	want := [][]string{{nodes[0].Name, nodes[2].Name}, {nodes[1].Name}, {nodes[3].Name}}
	if diff := cmp.Diff(want, result.Mesh.Components()); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
	if took > most {
		t.Errorf("a node in a black hole held the others up for %s, more than %s", took, most)
	}

	nodes[1].Host.Restore()
	result = c.sweep(nodes)
	c.wantReasons(result, "Verified", "Verified", "Verified", "CertificateNameMismatch")
	if parts := result.Mesh.Components(); len(parts) != 2 || len(parts[0]) != 3 {
		t.Errorf("parts are %v", parts)
	}
}

// Nodes that are linked to one that is not verified stay as they are,
// until it is.
func TestHealHolds(t *testing.T) {
	c := newCluster(t)
	nodes := []*beam.Node{c.start("25", 0), c.start("27", 1)}
	if result := c.sweep(nodes); !result.Mesh.Whole() {
		t.Fatalf("parts are %v", result.Mesh.Components())
	}
	odd := c.dial(nodes[1], cookie)
	c.call(odd, "erlang", "set_cookie", erldist.Atom("An0therCookie"))
	nodes = append(nodes, c.start("29", 2))

	result := c.sweep(nodes)
	c.wantReasons(result, "Verified", "CookieMismatch", "Verified")
	if len(result.Made) > 0 || len(result.Mesh.Linked(nodes[0].Name)) != 1 {
		t.Errorf("links %v were made, and %s is linked to %v", result.Made, nodes[0].Name, result.Mesh.Linked(nodes[0].Name))
	}

	c.call(odd, "erlang", "set_cookie", erldist.Atom(cookie))
	if result := c.sweep(nodes); !result.Mesh.Whole() || len(result.Made) != 1 {
		t.Errorf("%v were made, parts are %v", result.Made, result.Mesh.Components())
	}
}

// Two verified nodes that cannot connect to each other cost no other link.
func TestHealBrokenPair(t *testing.T) {
	onEachRelease(t, func(t *testing.T, otp string) {
		c := newCluster(t)
		nodes := []*beam.Node{c.start(otp, 0), c.start(otp, 1)}
		if result := c.sweep(nodes); !result.Mesh.Whole() {
			t.Fatalf("parts are %v", result.Mesh.Components())
		}
		nodes = append(nodes, c.start(otp, 2))
		// For this one peer, the node has another cookie: a probe does not see it.
		c.call(c.dial(nodes[0], cookie), "erlang", "set_cookie", erldist.Atom(nodes[2].Name), erldist.Atom("An0therCookie"))

		for range 2 {
			result := c.sweep(nodes)
			c.wantReasons(result, "Verified", "Verified", "Verified")
			want := [][]string{{nodes[0].Name, nodes[1].Name}, {nodes[2].Name}}
			if diff := cmp.Diff(want, result.Mesh.Components()); diff != "" {
				t.Errorf("parts (-want +got):\n%s", diff)
			}
			if failed := result.Outcomes[0].Failed; len(failed) != 1 || failed[0].To != nodes[2].Name {
				t.Errorf("failed links %v", failed)
			}
		}
		c.call(c.dial(nodes[0], cookie), "erlang", "set_cookie", erldist.Atom(nodes[2].Name), erldist.Atom(cookie))
		if result := c.sweep(nodes); !result.Mesh.Whole() {
			t.Errorf("parts are %v", result.Mesh.Components())
		}
	})
}

// When two parts are linked, and one pair of nodes cannot connect, OTP takes down links of
// others. The sweep makes no further link then, and reports it; while harmful links are
// avoided, the other nodes stay together.
func TestHealStops(t *testing.T) {
	onEachRelease(t, func(t *testing.T, otp string) {
		c := newCluster(t)
		var nodes []*beam.Node
		for ordinal := range 4 {
			nodes = append(nodes, c.start(otp, ordinal))
		}
		for _, pair := range [][]*beam.Node{nodes[:2], nodes[2:]} {
			if result := c.sweep(pair); !result.Mesh.Whole() {
				t.Fatalf("parts are %v", result.Mesh.Components())
			}
		}
		odd := c.dial(nodes[1], cookie)
		c.call(odd, "erlang", "set_cookie", erldist.Atom(nodes[3].Name), erldist.Atom("An0therCookie"))

		result := c.sweep(nodes)
		c.wantReasons(result, "Verified", "Verified", "Verified", "Verified")
		if result.Lost == 0 || len(result.Made) != 1 || len(result.Harmful) != 1 {
			t.Errorf("%d links lost, made %v, harmful %v, parts %v", result.Lost, result.Made, result.Harmful, result.Mesh.Components())
		}
		if failed := result.Outcomes[0].Failed; len(failed) != 1 || !errors.Is(failed[0].Err, verify.ErrLinksLost) {
			t.Errorf("failed links %v", failed)
		}

		harmful := result.Harmful
		for rounds := 1; ; rounds++ {
			result, harmful = c.sweepUntilCalm(nodes, harmful)
			if len(result.Mesh.Components()[0]) >= 3 {
				break
			}
			if rounds == 3 {
				t.Fatalf("parts are %v", result.Mesh.Components())
			}
			harmful = nil // A link that was blamed for what the odd pair did is tried again after its rest.
		}
		if !slices.ContainsFunc(result.Outcomes, func(o sweep.Outcome) bool { return len(o.Failed) > 0 }) {
			t.Error("the links that are not made are not reported")
		}

		// After a restart, nodes may have been repaired, as these were.
		for i, node := range nodes {
			node.Kill()
			nodes[i] = node.Host.Start(beam.Options{OTP: otp, Cookie: cookie, FixedPort: port, TLS: c.tls(node.Host)})
		}
		if result = c.sweepBut(nodes, harmful); !result.Mesh.Whole() {
			t.Errorf("parts are %v", result.Mesh.Components())
		}
	})
}

// sweepUntilCalm sweeps, without the harmful links, until three sweeps in a row have made
// and lost no link. It returns the links that were harmful meanwhile, too.
func (c *cluster) sweepUntilCalm(nodes []*beam.Node, harmful []sweep.HarmfulLink) (sweep.Result, []sweep.HarmfulLink) {
	c.t.Helper()
	for sweeps, calm := 1, 0; ; sweeps++ {
		result := c.sweepBut(nodes, harmful)
		harmful = append(harmful, result.Harmful...)
		if calm++; len(result.Made) > 0 || result.Lost > 0 {
			calm = 0
		}
		if calm == 3 {
			return result, harmful
		}
		if sweeps == 12 {
			c.t.Fatalf("%d links lost, made %v, parts %v", result.Lost, result.Made, result.Mesh.Components())
		}
	}
}

// A node with invalid client options accepts connections, and can make none. The others
// connect to it, and it is reported.
func TestHealSilentClient(t *testing.T) {
	for _, otp := range []string{"27", "29"} { // OTP 25 takes that option
		t.Run("OTP"+otp, func(t *testing.T) {
			c := newCluster(t)
			host := c.Host("chat-0")
			bad := beam.Options{OTP: otp, Cookie: cookie, FixedPort: port, TLS: c.tls(host)}
			options(`{verify,verify_peer},{versions`, `{verify,verify_peer},{fail_if_no_peer_cert,true},{versions`)(&bad)
			nodes := []*beam.Node{host.Start(bad), c.start(otp, 1)}

			result := c.sweep(nodes)
			c.wantReasons(result, "Verified", "Verified")
			if diff := cmp.Diff([]mesh.Edge{{From: nodes[1].Name, To: nodes[0].Name}}, result.Made); diff != "" {
				t.Errorf("links made (-want +got):\n%s", diff)
			}
			if failed := result.Outcomes[0].Failed; len(failed) != 1 || failed[0].To != nodes[1].Name {
				t.Errorf("failed links %v", failed)
			}

			// A third makes links of its own to the two, as global(3kernel) has it do.
			nodes = append(nodes, c.start(otp, 2))
			if result := c.sweep(nodes); !result.Mesh.Whole() {
				t.Errorf("parts are %v", result.Mesh.Components())
			}
		})
	}
}

// Lost packets make a sweep slow, and its result is right.
func TestHealOnBadWire(t *testing.T) {
	c := newCluster(t)
	nodes := []*beam.Node{c.start("25", 0), c.start("27", 1), c.start("29", 2)}
	c.sweep(nodes)
	nodes[1].Host.Degrade(beam.Wire{Loss: 0.3})
	var result sweep.Result
	for range 6 { // each packet of a try may be lost
		if result = c.sweep(nodes); result.Mesh.Whole() {
			return
		}
		c.t.Logf("%s: %s", result.Outcomes[1].Reason, result.Outcomes[1].Message)
	}
	c.t.Errorf("parts are %v", result.Mesh.Components())
}

// Nodes that connect to no others by themselves (-connect_all false) become one mesh all the same.
func TestHealWithoutConnectAll(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	var nodes []*beam.Node
	for ordinal := range 4 {
		host := c.Host(fmt.Sprintf("chat-%d", ordinal))
		nodes = append(nodes, host.Launch(beam.Options{OTP: "27", Cookie: cookie, FixedPort: port, TLS: c.tls(host), Args: []string{"-connect_all", "false"}}))
	}
	for _, node := range nodes {
		node.AwaitUp()
	}
	c.awaitWhole(nodes)
	if result := c.sweep(nodes); result.Lost > 0 || *beam.Soak && len(result.Made) > 0 {
		t.Errorf("%d links lost; a whole mesh was given the links %v", result.Lost, result.Made)
	}
}

// awaitWhole sweeps until the mesh is whole: within one sweep, unless the machine is busy. The nodes
// lose no link meanwhile.
func (c *cluster) awaitWhole(nodes []*beam.Node) (made []mesh.Edge) {
	c.t.Helper()
	var result sweep.Result
	await.Until(c.t, 5*time.Minute, "a whole mesh", func(context.Context) error {
		result = c.sweep(nodes)
		made = append(made, result.Made...)
		if result.Lost == 0 && !result.Mesh.Whole() {
			return fmt.Errorf("made %v, failed %v, the parts are %v", made, result.Failed, result.Mesh.Components())
		}
		return nil
	})
	if result.Lost > 0 {
		c.t.Fatalf("%d links lost, made %v, failed %v", result.Lost, made, result.Failed)
	}
	return made
}
