package sweep

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/probe/mesh"
	"github.com/erlang-operator/erlang-operator/probe/probetest"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

// network is some peers that are swept.
type network struct {
	t *testing.T
	*probetest.Network
}

func newNetwork(t *testing.T, size int) network {
	return network{t, probetest.NewNetwork(t, size)}
}

func (n network) members() []Member {
	members := make([]Member, len(n.Peers))
	for i, p := range n.Peers {
		members[i] = Member{Target: p.Target()}
	}
	return members
}

func (n network) run(members []Member, options Options) Result {
	options.Concurrency, options.HealingTime = 16, 5*time.Second
	return Run(n.t.Context(), n.Verifier(), members, options)
}

func reasons(result Result) (reasons []string) {
	for _, outcome := range result.Outcomes {
		reasons = append(reasons, outcome.Reason)
	}
	return reasons
}

func checkReasons(t *testing.T, result Result, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, reasons(result)); diff != "" {
		t.Fatalf("reasons (-want +got):\n%s%+v", diff, result.Outcomes)
	}
}

// TestSweep: the first sweep verifies, links and tries every node. The second changes
// nothing, and does not repeat the trials.
func TestSweep(t *testing.T) {
	n := newNetwork(t, 3)
	members := n.members()

	result := n.run(members, Options{})
	checkReasons(t, result, "Verified", "Verified", "Verified")
	want := []mesh.Edge{{From: n.Peers[0].Name, To: n.Peers[1].Name}, {From: n.Peers[0].Name, To: n.Peers[2].Name}}
	if diff := cmp.Diff(want, result.Made); diff != "" || !result.Mesh.Whole() {
		t.Errorf("links made (-want +got):\n%sthe parts are %v", diff, result.Mesh.Components())
	}
	for i, outcome := range result.Outcomes {
		want := &Refusals{Incarnation: n.Peers[i].Incarnation}
		if diff := cmp.Diff(want, outcome.Refusals); diff != "" || outcome.RefusalsError != nil {
			t.Errorf("refusals of %s (-want +got):\n%s%v", outcome.Node, diff, outcome.RefusalsError)
		}
		members[i].ProvenAt = outcome.Incarnation
	}

	refused := n.Peers[0].Refusals()
	result = n.run(members, Options{})
	if len(result.Made) > 0 || !result.Mesh.Whole() || result.Outcomes[0].Refusals != nil || n.Peers[0].Refusals() != refused {
		t.Errorf("the second sweep made the links %v and tried %+v", result.Made, result.Outcomes[0].Refusals)
	}
}

// TestSweepAwaitsStartingNodes: a node that is likely to begin to listen any moment is tried again in
// the same sweep, and one that should listen by now is not.
func TestSweepAwaitsStartingNodes(t *testing.T) {
	for want, until := range map[string]time.Time{"Verified": time.Now().Add(time.Hour), "ConnectionRefused": time.Now()} {
		n := newNetwork(t, 1)
		members, verifier := n.members(), n.Verifier()
		members[0].StartingUntil = until
		var dialled atomic.Int32
		verifier.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			if dialled.Add(1) <= 3 {
				return nil, syscall.ECONNREFUSED
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		}
		checkReasons(t, Run(t.Context(), verifier, members, Options{Concurrency: 1}), want)
	}
}

// nameHosts has each node on a host of its own: host-0, host-1.
func (n *network) nameHosts() {
	for i, peer := range n.Peers {
		host := fmt.Sprintf("host-%d", i)
		peer.Name, peer.Certificate = "chat@"+host, n.Issue(host)
	}
}

// TestLookupsOfStartingNodes: a hundred nodes start at once, and each is tried nine times, and again
// in the next sweep. DNS is asked once for each, and again when a pod has another address, or when
// DNS has another than the pod.
func TestLookupsOfStartingNodes(t *testing.T) {
	n := newNetwork(t, 100)
	n.nameHosts()
	members, verifier := n.members(), n.Verifier()
	limits := &verifier.Limits
	limits.Resolve, limits.ConnectDistribution, limits.TLS, limits.Handshake, limits.Call = time.Minute, time.Minute, time.Minute, time.Minute, time.Minute
	for i := range members {
		members[i].StartingUntil = time.Now().Add(time.Hour)
	}
	var mutex sync.Mutex
	lookups, tries := 0, map[string]int{}
	verifier.Resolve = func(context.Context, string) ([]string, error) {
		mutex.Lock()
		defer mutex.Unlock()
		lookups++
		return []string{"127.0.0.1"}, nil
	}
	moved := map[string]bool{}
	verifier.Lookups, verifier.Located = &verify.Lookups{}, func(host string) []string {
		if moved[host] {
			return []string{"127.0.0.2"}
		}
		return []string{"127.0.0.1"}
	}
	verifier.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		mutex.Lock()
		tries[address]++
		refused := tries[address] < 9
		mutex.Unlock()
		if refused {
			return nil, syscall.ECONNREFUSED
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	for number, want := range []int{100, 0, 1, 1} { // One has moved before the third sweep, and DNS does not have that.
		moved["host-7"] = number >= 2
		lookups = 0
		pass := Begin(verifier, members, Options{Concurrency: 16})
		if result := pass.Steps()[0](t.Context()); !result.Outcomes[99].Verified() {
			t.Fatalf("verdict %+v", result.Outcomes[99])
		}
		pass.Close()
		if lookups != want {
			t.Errorf("sweep %d: %d look-ups, want %d", number, lookups, want)
		}
	}
}

// TestNodeMovesDuringSweep: a node is restarted during a sweep, and its pod has another address than
// when that began. It is found by what DNS says now.
func TestNodeMovesDuringSweep(t *testing.T) {
	n := newNetwork(t, 2)
	n.nameHosts()
	members, verifier := n.members(), n.Verifier()
	verifier.Limits = verify.DefaultLimits()
	before := []string{"127.0.0.1"}
	var moved atomic.Bool
	verifier.Lookups, verifier.Located = &verify.Lookups{}, func(string) []string { return slices.Clone(before) }
	verifier.Resolve = func(_ context.Context, host string) ([]string, error) {
		if moved.Load() && host == "host-1" {
			return []string{"127.0.0.2"}, nil
		}
		return before, nil
	}
	former := fmt.Sprint("127.0.0.1:", members[1].FixedPort)
	verifier.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if moved.Load() && address == former {
			<-ctx.Done() // Nobody has that address any more.
			return nil, ctx.Err()
		}
		return new(net.Dialer).DialContext(ctx, network, strings.Replace(address, "127.0.0.2", "127.0.0.1", 1))
	}
	pass := Begin(verifier, members, Options{Concurrency: 16, HealingTime: 5 * time.Second})
	defer pass.Close()
	steps := pass.Steps()
	checkReasons(t, steps[0](t.Context()), "Verified", "Verified")
	moved.Store(true)
	n.Peers[1].HangUp()
	steps[1](t.Context())
	checkReasons(t, steps[2](t.Context()), "Verified", "Verified")
}

// TestSweepLinksPairsAtOnce: of four nodes two pairs are linked at once, then the pairs.
func TestSweepLinksPairsAtOnce(t *testing.T) {
	n := newNetwork(t, 4)
	var begun sync.WaitGroup
	begun.Add(2)
	var once [2]sync.Once
	n.OnConnect(func(from, to string) bool {
		if to == n.Peers[1].Name || to == n.Peers[3].Name {
			once[slices.IndexFunc(n.Peers, func(p *probetest.Peer) bool { return p.Name == to })/2].Do(begun.Done)
			begun.Wait()
		}
		n.Link(from, to)
		return true
	})
	result := n.run(n.members(), Options{})
	want := []mesh.Edge{
		{From: n.Peers[0].Name, To: n.Peers[1].Name}, {From: n.Peers[2].Name, To: n.Peers[3].Name}, {From: n.Peers[0].Name, To: n.Peers[2].Name},
	}
	if diff := cmp.Diff(want, result.Made); diff != "" || !result.Mesh.Whole() {
		t.Errorf("the parts are %v, links made (-want +got):\n%s", result.Mesh.Components(), diff)
	}
}

// TestSweepLinksEveryPair: all the links between two parts are made by the probe, which does not
// wait until the nodes make them, and one that fails is made from the other end.
func TestSweepLinksEveryPair(t *testing.T) {
	n := newNetwork(t, 4)
	n.LinkPair(n.Peers[0].Name, n.Peers[1].Name)
	n.LinkPair(n.Peers[2].Name, n.Peers[3].Name)
	n.OnConnect(func(from, to string) bool {
		if from == n.Peers[1].Name && to == n.Peers[3].Name {
			return false
		}
		n.LinkPair(from, to)
		return true
	})
	if result := n.run(n.members(), Options{}); !result.Mesh.Whole() || result.Lost > 0 || len(result.Harmful) > 0 {
		t.Errorf("failed %v, the parts are %v", result.Failed, result.Mesh.Components())
	}
}

// TestSweepBlamesTheLinkThatDidHarm: of two links that are made at once, one costs its part
// another link. The other one is not harmful, and no further link is made.
func TestSweepBlamesTheLinkThatDidHarm(t *testing.T) {
	n := newNetwork(t, 5)
	n.Link(n.Peers[0].Name, n.Peers[1].Name)
	n.OnConnect(func(from, to string) bool {
		if from == n.Peers[0].Name || to == n.Peers[0].Name {
			n.Unlink(n.Peers[0].Name, n.Peers[1].Name)
			return false
		}
		n.Link(from, to)
		return true
	})
	result := n.run(n.members(), Options{})
	harmful := mesh.Edge{From: n.Peers[0].Name, To: n.Peers[2].Name}
	if diff := cmp.Diff([]mesh.Edge{harmful}, result.Failed); diff != "" || len(result.Harmful) != 1 || result.Harmful[0].Edge != harmful || result.Lost != 1 {
		t.Errorf("%d links lost, harmful %v, failed (-want +got):\n%s", result.Lost, result.Harmful, diff)
	}
	if diff := cmp.Diff([]mesh.Edge{{From: n.Peers[3].Name, To: n.Peers[4].Name}}, result.Made); diff != "" {
		t.Errorf("links made (-want +got):\n%s", diff)
	}
}

// TestSweepAroundFailures: nodes that cannot be verified do not keep the others from being
// linked, and nobody is made to connect to them.
func TestSweepAroundFailures(t *testing.T) {
	n := newNetwork(t, 4)
	n.Peers[1].Serve = func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
	n.Peers[2].Serve = func(net.Conn) {}
	n.OnConnect(func(from, to string) bool {
		if to == n.Peers[1].Name || to == n.Peers[2].Name {
			t.Errorf("%s is made to connect to %s", from, to)
		}
		n.Link(from, to)
		return true
	})
	result := n.run(n.members(), Options{})
	checkReasons(t, result, "Verified", "HandshakeTimedOut", "CertificateUnusable", "Verified")
	if !result.Mesh.HasLink(mesh.Edge{From: n.Peers[0].Name, To: n.Peers[3].Name}) {
		t.Errorf("parts are %v", result.Mesh.Components())
	}
}

// TestSweepTriesTheOtherEnd: where one node cannot connect to another, the other one
// connects, and the failure is recorded at the first.
func TestSweepTriesTheOtherEnd(t *testing.T) {
	n := newNetwork(t, 2)
	n.OnConnect(func(from, to string) bool {
		if from == n.Peers[0].Name {
			return false
		}
		n.Link(from, to)
		return true
	})
	result := n.run(n.members(), Options{})
	if diff := cmp.Diff([]mesh.Edge{{From: n.Peers[1].Name, To: n.Peers[0].Name}}, result.Made); diff != "" {
		t.Errorf("links made (-want +got):\n%s", diff)
	}
	if failed := result.Outcomes[0].Failed; len(failed) != 1 || !errors.Is(failed[0].Err, verify.ErrNotConnected) {
		t.Errorf("failed links %v", failed)
	}
}

// TestSweepTriesTheOtherEndNextTime: a link that one node could not make is made by the other
// in the next sweep, if the time of one sweep is not enough for both.
func TestSweepTriesTheOtherEndNextTime(t *testing.T) {
	n := newNetwork(t, 2)
	n.OnConnect(func(from, to string) bool {
		if from == n.Peers[0].Name {
			time.Sleep(2 * time.Second) // longer than the limit
			return false
		}
		n.Link(from, to)
		return true
	})
	failed := []mesh.Edge{{From: n.Peers[0].Name, To: n.Peers[1].Name}}
	first := n.run(n.members(), Options{})
	if diff := cmp.Diff(failed, first.Failed); diff != "" {
		t.Fatalf("links that failed (-want +got):\n%s", diff)
	}
	if second := n.run(n.members(), Options{Postponed: first.Failed}); !second.Mesh.Whole() {
		t.Errorf("links made %v, failed %v", second.Made, second.Failed)
	}
}

// TestSweepFindsSilentLinks: a link over which nothing arrives is not one of the mesh, and no
// other is made in its place until it has ended. It is one again when it is answered.
func TestSweepFindsSilentLinks(t *testing.T) {
	n := newNetwork(t, 3)
	n.Link(n.Peers[0].Name, n.Peers[1].Name)
	n.Link(n.Peers[0].Name, n.Peers[2].Name)
	n.OnConnect(func(from, to string) bool {
		t.Errorf("%s is made to connect to %s", from, to)
		return false
	})
	n.Silence(n.Peers[0].Name, n.Peers[2].Name, true)
	result := n.run(n.members(), Options{})
	if diff := cmp.Diff([]string{n.Peers[2].Name}, result.Mesh.Missing(n.Peers[0].Name)); diff != "" || result.Mesh.Links() != 2 {
		t.Errorf("%d links, missing (-want +got):\n%s", result.Mesh.Links(), diff)
	}
	n.Silence(n.Peers[0].Name, n.Peers[2].Name, false)
	if result := n.run(n.members(), Options{}); !result.Mesh.Whole() {
		t.Errorf("the parts are %v", result.Mesh.Components())
	}
}

// TestSweepBelievesSilenceUntilAnswered: a link that was silent stays so while a node that has it
// does not tell, and one that was answered does not become silent by that.
func TestSweepBelievesSilenceUntilAnswered(t *testing.T) {
	n := newNetwork(t, 3)
	n.Link(n.Peers[0].Name, n.Peers[1].Name)
	n.Link(n.Peers[0].Name, n.Peers[2].Name)
	n.Link(n.Peers[1].Name, n.Peers[2].Name)
	n.Link(n.Peers[0].Name, "other@localhost")
	n.Silence(n.Peers[0].Name, "other@localhost", true)
	n.Silence(n.Peers[0].Name, n.Peers[2].Name, true)
	result := n.run(n.members(), Options{})
	n.Silence(n.Peers[0].Name, n.Peers[2].Name, false)
	mute := func(mute bool) {
		n.Peers[0].Set(func(p *probetest.Peer) { p.Mute = mute })
	}
	for _, tc := range []struct {
		mute bool
		want int
	}{{true, 2}, {true, 2}, {false, 3}, {true, 3}} {
		mute(tc.mute)
		result = n.run(n.members(), Options{Suspects: result.Suspects, Silent: result.Silent})
		if result.Mesh.Links() != tc.want {
			t.Errorf("mute: %t: %d links, want %d: %v", tc.mute, result.Mesh.Links(), tc.want, result.Outcomes[0].Silent)
		}
	}
}

// TestNewLinkIsNotSilent: two nodes that did not answer or reach each other are linked again. Nobody
// has asked over that link yet, and it is not called silent until somebody has.
func TestNewLinkIsNotSilent(t *testing.T) {
	n := newNetwork(t, 2)
	n.Link(n.Peers[0].Name, n.Peers[1].Name)
	n.Silence(n.Peers[0].Name, n.Peers[1].Name, true)
	result := n.run(n.members(), Options{})
	n.Unlink(n.Peers[0].Name, n.Peers[1].Name)
	n.OnConnect(func(string, string) bool { return false })
	for _, name := range []string{"the link has ended", "they are linked again"} {
		if name == "they are linked again" {
			n.Link(n.Peers[0].Name, n.Peers[1].Name)
		}
		pass := Begin(n.Verifier(), n.members(), Options{Concurrency: 16, Suspects: result.Suspects, Silent: result.Silent})
		for i, step := range pass.Steps()[:2] {
			result = step(t.Context())
			if linked := i == 0 && name == "they are linked again"; linked != result.Mesh.Whole() {
				t.Errorf("%s: step %d has %d links, silent are %v", name, i, result.Mesh.Links(), result.Silent)
			}
		}
		pass.Close()
	}
}

// TestSweepKeepsApartWhoCannotConnect: three nodes, two of which do not reach each other. No
// link is made that would have these two connect: neither between them, nor from the third one
// to the second. When one end reaches the other, all links are made at once.
func TestSweepKeepsApartWhoCannotConnect(t *testing.T) {
	n := newNetwork(t, 3)
	n.Link(n.Peers[0].Name, n.Peers[1].Name)
	n.Link(n.Peers[0].Name, n.Peers[2].Name)
	n.Silence(n.Peers[1].Name, n.Peers[2].Name, true)
	n.Block(n.Peers[1].Name, n.Peers[2].Name, true)
	n.Block(n.Peers[2].Name, n.Peers[1].Name, true)
	suspects := n.run(n.members(), Options{}).Suspects
	if diff := cmp.Diff([]mesh.Edge{{From: n.Peers[1].Name, To: n.Peers[2].Name}}, suspects); diff != "" {
		t.Fatalf("suspects (-want +got):\n%s", diff)
	}
	n.Unlink(n.Peers[1].Name, n.Peers[2].Name) // OTP ends the silent link, and another one because of it.
	n.Unlink(n.Peers[0].Name, n.Peers[2].Name)
	n.OnConnect(func(from, to string) bool {
		t.Errorf("%s is made to connect to %s", from, to)
		return false
	})
	result := n.run(n.members(), Options{Suspects: suspects})
	if diff := cmp.Diff(suspects, result.Suspects); diff != "" || len(result.Failed) > 0 || len(result.Harmful) > 0 {
		t.Errorf("failed %v, harmful %v, suspects (-want +got):\n%s", result.Failed, result.Harmful, diff)
	}
	if failed := result.Outcomes[1].Failed; len(failed) != 1 || !errors.Is(failed[0].Err, verify.ErrUnreachable) {
		t.Errorf("failed links %v", failed)
	}
	n.Block(n.Peers[2].Name, n.Peers[1].Name, false)
	n.Silence(n.Peers[1].Name, n.Peers[2].Name, false)
	n.OnConnect(func(from, to string) bool { n.Link(from, to); return true })
	if result := n.run(n.members(), Options{Suspects: suspects}); !result.Mesh.Whole() || len(result.Suspects) > 0 {
		t.Errorf("the parts are %v, suspects %v", result.Mesh.Components(), result.Suspects)
	}
}

// TestSweepTriesSuspectsAtOnce: the nodes of all links that are to be made at once try at once
// whether they reach each other.
func TestSweepTriesSuspectsAtOnce(t *testing.T) {
	n := newNetwork(t, 4)
	var suspects []mesh.Edge
	for i, from := range n.Peers {
		for _, to := range n.Peers[i+1:] {
			n.Block(from.Name, to.Name, true)
			n.Block(to.Name, from.Name, true)
			suspects = append(suspects, mesh.Edge{From: from.Name, To: to.Name})
		}
	}
	var tries atomic.Int32
	all := make(chan struct{})
	n.OnReach(func(string) {
		if tries.Add(1) == 4 {
			close(all)
		}
		<-all
	})
	n.OnConnect(func(from, to string) bool {
		t.Errorf("%s is made to connect to %s", from, to)
		return false
	})
	if result := n.run(n.members(), Options{Suspects: suspects}); len(result.Suspects) != 6 || len(result.Failed) > 0 {
		t.Errorf("suspects %v, failed %v", result.Suspects, result.Failed)
	}
}

// TestSweepEndsAfterSlowSuspects: when nodes need all the time to find out whether they reach each
// other, the link is left to the next sweep, and has not failed in this one.
func TestSweepEndsAfterSlowSuspects(t *testing.T) {
	n := newNetwork(t, 2)
	const healing = 200 * time.Millisecond
	n.OnReach(func(string) { time.Sleep(2 * healing) })
	n.OnConnect(func(from, to string) bool {
		t.Errorf("%s is made to connect to %s", from, to)
		return false
	})
	suspects := []mesh.Edge{{From: n.Peers[0].Name, To: n.Peers[1].Name}}
	result := Run(t.Context(), n.Verifier(), n.members(), Options{Concurrency: 16, HealingTime: healing, Suspects: suspects})
	if len(result.Failed) > 0 || len(result.Harmful) > 0 {
		t.Errorf("failed %v, harmful %v", result.Failed, result.Harmful)
	}
}

// TestSweepFindsWhoCannotConnect: a link that costs others because two nodes do not reach each
// other is not harmful in itself: it may be made as soon as they do.
func TestSweepFindsWhoCannotConnect(t *testing.T) {
	n := newNetwork(t, 3)
	n.Link(n.Peers[0].Name, n.Peers[1].Name)
	n.Block(n.Peers[1].Name, n.Peers[2].Name, true)
	n.Block(n.Peers[2].Name, n.Peers[1].Name, true)
	n.OnConnect(func(string, string) bool { n.Unlink(n.Peers[0].Name, n.Peers[1].Name); return false })
	result := n.run(n.members(), Options{})
	if diff := cmp.Diff([]mesh.Edge{{From: n.Peers[1].Name, To: n.Peers[2].Name}}, result.Suspects); diff != "" || len(result.Harmful) > 0 || result.Lost == 0 {
		t.Errorf("%d links lost, harmful %v, suspects (-want +got):\n%s", result.Lost, result.Harmful, diff)
	}
}

// TestSweepStopsAtLostLinks: when nodes drop links while one is made, it is the last one of
// the sweep, it is harmful, and it is not made while it rests.
func TestSweepStopsAtLostLinks(t *testing.T) {
	n := newNetwork(t, 4)
	n.Link(n.Peers[0].Name, n.Peers[1].Name)
	n.OnConnect(func(string, string) bool {
		n.Unlink(n.Peers[0].Name, n.Peers[1].Name)
		return false
	})
	result := n.run(n.members(), Options{})
	edge := mesh.Edge{From: n.Peers[0].Name, To: n.Peers[2].Name}
	if diff := cmp.Diff([]mesh.Edge{edge}, result.Failed); diff != "" || result.Lost != 1 || len(result.Harmful) != 1 {
		t.Errorf("%d links lost, failed (-want +got):\n%s", result.Lost, diff)
	}

	n.OnConnect(func(from, to string) bool {
		if (mesh.Edge{From: from, To: to}) == edge {
			t.Error("a harmful link is made")
		}
		n.Link(from, to)
		return true
	})
	n.run(n.members(), Options{Harmful: result.Harmful})

	n.Peers[2].Set(func(p *probetest.Peer) { p.Incarnation++ }) // It restarted: it may have been fixed.
	for _, p := range n.Peers {
		n.Unlink(n.Peers[2].Name, p.Name)
	}
	n.OnConnect(func(from, to string) bool { n.Link(from, to); return true })
	if result := n.run(n.members(), Options{Harmful: result.Harmful}); !result.Mesh.Whole() {
		t.Errorf("a node restarted, and the parts are %v", result.Mesh.Components())
	}
}

// TestSweepPostponesFailedLinks: what failed in the last sweep comes last.
func TestSweepPostponesFailedLinks(t *testing.T) {
	n := newNetwork(t, 3)
	failed := mesh.Edge{From: n.Peers[0].Name, To: n.Peers[1].Name}
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
		calls := n.Peers[i].Called("gen_server:call")
		if result.Outcomes[i].Outdated != want || calls > 0 != want {
			t.Errorf("%s is outdated: %t, and was made to read its files %d times", n.Peers[i].Name, result.Outcomes[i].Outdated, calls)
		}
	}
}

// unlinkedAndOutdated are two nodes without a link, the second of which serves a certificate
// that is not the stored one. Whoever makes a link fails the test.
func unlinkedAndOutdated(t *testing.T) (network, []Member) {
	n := newNetwork(t, 2)
	members := n.members()
	members[1].Stored = "2a"
	n.OnConnect(func(from, to string) bool {
		t.Errorf("%s is made to connect to %s", from, to)
		return false
	})
	return n, members
}

// TestSweepReadOnly: nothing is changed in the nodes, and the same is reported.
func TestSweepReadOnly(t *testing.T) {
	n, members := unlinkedAndOutdated(t)
	result := n.run(members, Options{ReadOnly: func() bool { return true }})
	checkReasons(t, result, "Verified", "Verified")
	if calls := n.Peers[1].Called("gen_server:call"); !result.Outcomes[1].Outdated || calls > 0 {
		t.Errorf("the node is outdated: %t, and was made to read its files %d times", result.Outcomes[1].Outdated, calls)
	}
	if !result.ReadOnly || result.Mesh.Links() > 0 || result.Outcomes[0].Refusals == nil {
		t.Errorf("%d links, refusals %+v", result.Mesh.Links(), result.Outcomes[0].Refusals)
	}
}

// TestSweepLeavesLinksToTheApplication: no link is made, and all else is done.
func TestSweepLeavesLinksToTheApplication(t *testing.T) {
	n, members := unlinkedAndOutdated(t)
	result := n.run(members, Options{NoLinks: true})
	if !result.Healed || result.Mesh.Links() > 0 || n.Peers[1].Called("gen_server:call") == 0 {
		t.Errorf("%d links, %+v", result.Mesh.Links(), result.Outcomes)
	}
	n.Link(n.Peers[0].Name, n.Peers[1].Name)
	if result := n.run(members, Options{NoLinks: true}); !result.Mesh.Whole() {
		t.Errorf("the parts are %v", result.Mesh.Components())
	}
}

// TestSweepTimeWithHungNodes: nodes that accept connections and stay silent cost a sweep no
// more time than one of them. Nobody waits for their answer over links.
func TestSweepTimeWithHungNodes(t *testing.T) {
	n := newNetwork(t, 100)
	for _, p := range n.Peers[1:] {
		p.Serve = func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
		n.LinkPair(n.Peers[0].Name, p.Name)
		n.Silence(n.Peers[0].Name, p.Name, true)
	}
	members, begun := n.members(), time.Now()
	result := n.run(members, Options{})
	if took, most := time.Since(begun), n.Verifier().Limits.Tries+time.Second; took > most {
		t.Errorf("the sweep took %s, more than %s", took, most)
	}
	if got := reasons(result); got[0] != "Verified" || got[1] != "HandshakeTimedOut" || got[99] != "HandshakeTimedOut" {
		t.Errorf("reasons %v", got)
	}
	if asked := n.Peers[0].Called("rpc:multicall"); asked > 0 {
		t.Errorf("the node that is verified called the others %d times", asked)
	}
}

// TestSweepIsCutOff: a node that hangs once it is verified is not said to have failed by
// what was cut off.
func TestSweepIsCutOff(t *testing.T) {
	n := newNetwork(t, 2)
	pass := Begin(n.Verifier(), n.members(), Options{Concurrency: 16, HealingTime: 5 * time.Second})
	defer pass.Close()
	steps := pass.Steps()
	checkReasons(t, steps[0](t.Context()), "Verified", "Verified")
	ctx, cancel := context.WithCancel(t.Context())
	n.OnConnect(func(string, string) bool { cancel(); <-t.Context().Done(); return false })
	steps[1](ctx)
	result := steps[2](ctx)
	checkReasons(t, result, "Verified", "Verified")
	if len(result.Harmful) > 0 || result.Lost > 0 {
		t.Errorf("harmful %v", result.Harmful)
	}
}

// TestSweepOfBusyNode: a node that takes 3.3 s for TLS, where its peers allow 7 s, is
// verified, and is not tried in plaintext.
func TestSweepOfBusyNode(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, 1)
	n.Peers[0].Delay = 3300 * time.Millisecond
	verifier := n.Verifier()
	verifier.Limits = verify.DefaultLimits()
	result := Begin(verifier, n.members(), Options{Concurrency: 16}).Steps()[0](t.Context())
	if outcome := result.Outcomes[0]; outcome.Reason != v1alpha1.ReasonSlowHandshake || outcome.TriedPlaintext {
		t.Errorf("verdict %s: %s", outcome.Reason, outcome.Message)
	}
	if refused := n.Peers[0].Refusals(); refused > 0 {
		t.Errorf("%d handshakes refused", refused)
	}
}

// TestSweepTriesPlaintextOnce: a node that does not answer in TLS is tried in plaintext
// once; one that closes the connection at once is not.
func TestSweepTriesPlaintextOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		serve func(net.Conn)
		tried bool // before
		want  int32
	}{
		"silence":             {serve: func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }, want: 1},
		"silence, once tried": {serve: func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }, tried: true},
		"a close":             {serve: func(net.Conn) {}},
		"another protocol":    {serve: func(conn net.Conn) { _, _ = io.WriteString(conn, "220 mail.example\r\n") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, 1)
			var plaintext atomic.Int32
			n.Peers[0].Serve = func(conn net.Conn) {
				first := make([]byte, 1)
				if _, err := conn.Read(first); err == nil && first[0] == 0 { // of the length of a name
					plaintext.Add(1)
				}
				tc.serve(conn)
			}
			members := n.members()
			members[0].NotPlaintext = tc.tried
			verifier := n.Verifier()
			verifier.Limits.TLS = 4 * time.Second // An eighth is for the second look.
			result := Run(t.Context(), verifier, members, Options{Concurrency: 16, HealingTime: 5 * time.Second})
			if got := plaintext.Load(); got != tc.want {
				t.Errorf("tried in plaintext %d times, want %d: %s", got, tc.want, result.Outcomes[0].Message)
			}
		})
	}
}

// TestSweepOfHiddenAndOldNodes: nodes that answer every call and cannot be members are not
// verified, and not linked.
func TestSweepOfHiddenAndOldNodes(t *testing.T) {
	n := newNetwork(t, 4)
	n.Peers[1].Hidden, n.Peers[2].Release, n.Peers[3].Release = true, "24", "R16B03"
	n.OnConnect(func(from, to string) bool {
		t.Errorf("%s is made to connect to %s", from, to)
		return false
	})
	checkReasons(t, n.run(n.members(), Options{}), "Verified", "HiddenNode", "UnsupportedFlags", "UnsupportedFlags")
}

// TestSweepTriesTimeoutsAgain: a node that does not answer one call is verified by a second
// try.
func TestSweepTriesTimeoutsAgain(t *testing.T) {
	n := newNetwork(t, 1)
	n.Peers[0].Unanswered = 1
	checkReasons(t, n.run(n.members(), Options{}), "Verified")
}

// TestSecondTryIsCutOff: a node that accepts connections and answers no call is reported as that
// when the time of both tries is over, even if the second one did not get as far.
func TestSecondTryIsCutOff(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, 1)
	n.Peers[0].Unanswered = 1 << 30
	verifier := n.Verifier()
	limits := &verifier.Limits
	limits.ConnectDistribution, limits.TLS, limits.Handshake = time.Hour, time.Hour, time.Hour
	limits.Call, limits.Tries = time.Second, 8*time.Second
	var dialled atomic.Int32
	verifier.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if dialled.Add(1) == 2 {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	checkReasons(t, Run(ctx, verifier, n.members(), Options{Concurrency: 16, HealingTime: 5 * time.Second}), "CallFailed")
	if dialled.Load() != 2 || ctx.Err() != nil {
		t.Errorf("there were %d tries, the last one was cut off: %t", dialled.Load(), ctx.Err() == nil)
	}
}

// TestNodeHangsBetweenSteps: a node that was verified, and then stops answering, keeps no step
// longer than a question may take.
func TestNodeHangsBetweenSteps(t *testing.T) {
	n := newNetwork(t, 2)
	n.Link(n.Peers[0].Name, n.Peers[1].Name)
	verifier := n.Verifier()
	verifier.Limits.Call = 500 * time.Millisecond
	pass := Begin(verifier, n.members(), Options{Concurrency: 16, HealingTime: 5 * time.Second})
	defer pass.Close()
	steps := pass.Steps()
	checkReasons(t, steps[0](t.Context()), "Verified", "Verified")
	n.Peers[0].Set(func(p *probetest.Peer) { p.Unanswered = 1 << 30 })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, step := range steps[1:] {
		step(ctx)
	}
	if ctx.Err() != nil {
		t.Error("the steps waited for the node")
	}
}

// TestSweepBlamesNoLinkForEarlierLosses: links that were lost before healing began are not
// the fault of the first link that is made.
func TestSweepBlamesNoLinkForEarlierLosses(t *testing.T) {
	n := newNetwork(t, 4)
	n.Link(n.Peers[0].Name, n.Peers[1].Name)
	n.Link(n.Peers[0].Name, n.Peers[2].Name)
	pass := Begin(n.Verifier(), n.members(), Options{Concurrency: 16, HealingTime: 5 * time.Second})
	defer pass.Close()
	steps := pass.Steps()
	checkReasons(t, steps[0](t.Context()), "Verified", "Verified", "Verified", "Verified")
	n.Unlink(n.Peers[1].Name, n.Peers[2].Name)
	n.OnConnect(func(from, to string) bool { n.LinkPair(from, to); return true })
	steps[1](t.Context())
	if result := steps[2](t.Context()); result.Lost > 0 || len(result.Harmful) > 0 {
		t.Errorf("%d links lost, harmful %v", result.Lost, result.Harmful)
	}
}

// TestHangUpWhenNetSetuptimeIsOverIsNoRefusal: a node with a shorter net_setuptime, which is
// delayed, closes connections that it may well accept.
func TestHangUpWhenNetSetuptimeIsOverIsNoRefusal(t *testing.T) {
	n := newNetwork(t, 1)
	peer, verifier := n.Peers[0], n.Verifier()
	peer.SetupTime = 3
	verdict, session := verifier.Verify(t.Context(), peer.Target())
	if session == nil {
		t.Fatal(verdict.Message)
	}
	defer session.Close()
	verifier.Credentials.Canary = &verify.Canary{Certificate: n.Issue("probe")}
	peer.Set(func(p *probetest.Peer) { p.Delay = 5 * time.Second })
	if accepted, err := verifier.TryRefusals(t.Context(), session); err == nil {
		t.Errorf("it refuses all but %v", accepted)
	}
	if accepted, err := verifier.TryCanary(t.Context(), session); err == nil {
		t.Errorf("the canary is accepted: %t", accepted)
	}
	peer.Set(func(p *probetest.Peer) { p.Delay = 0 })
	if accepted, err := verifier.TryRefusals(t.Context(), session); err != nil || len(accepted) > 0 {
		t.Errorf("without the delay it accepts %v, %v", accepted, err)
	}
}
