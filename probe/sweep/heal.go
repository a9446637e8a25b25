package sweep

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/erlang-operator/erlang-operator/probe/mesh"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

// Nodes that one link has joined make the other links themselves. They get time for it:
// at most settlingTime, and standstill after the last link.
const (
	settlingTime = 10 * time.Second
	standstill   = 2 * time.Second
)

// healingReserve is the time for the last link of a sweep, on top of the healing time.
const healingReserve = 25 * time.Second

// errNotKept is the cause of a link that a node reported, and one of its two ends soon no
// longer had.
var errNotKept = errors.New("the link was made and did not last")

// heal makes the links that are missing, and observes the mesh after each step. The links of
// one step are made at once, and concern different nodes. A node that accepts connections may
// still be unable to make them, so where one end fails at once, the other end tries.
//
// When nodes drop other links meanwhile, no further link is made in this sweep. They do so
// when two of them cannot connect, or when they are too busy to keep what they have: then
// each further link costs more than it gains.
func (p *Pass) heal(ctx context.Context) {
	if p.options.NoLinks || p.options.ReadOnly() || p.cookiesChange() {
		return
	}
	p.skipHarmful()
	if len(p.next()) > 0 {
		p.refresh(ctx) // Links that were lost since the nodes were verified are not the fault of the first ones.
	}
	deadline := time.Now().Add(p.options.HealingTime)
	for p.lost == 0 && time.Now().Before(deadline) && ctx.Err() == nil {
		edges := p.next()
		if len(edges) == 0 {
			return
		}
		edges = p.keepApart(ctx, edges)
		if p.options.ReadOnly() || ctx.Err() != nil || !time.Now().Before(deadline) {
			return // What could not be tried any more did not fail.
		}
		p.step(ctx, deadline, edges)
	}
}

// step makes links, no two of which concern the same node.
func (p *Pass) step(ctx context.Context, deadline time.Time, edges []mesh.Edge) {
	before, incarnations := p.mesh(), p.incarnations()
	made, errs := make([]mesh.Edge, len(edges)), make([]error, len(edges))
	var group sync.WaitGroup
	for i, edge := range edges {
		group.Go(func() {
			if made[i], errs[i] = p.link(ctx, deadline, edge); errs[i] == nil {
				p.linkOthers(ctx, deadline, made[i], before.Between(edge))
			}
		})
	}
	group.Wait()
	p.settle(ctx, made, errs)
	lost := p.mesh().Lost(before, p.restarted(incarnations)...)
	p.lost = len(lost)
	var didHarm []HarmfulLink
	for i, edge := range edges {
		err := errs[i]
		if before.Concerns(edge, lost) {
			err = verify.ErrLinksLost
			p.recordFailure(edge, err)
		}
		if err != nil {
			p.failed = append(p.failed, edge)
		}
		if errors.Is(err, verify.ErrLinksLost) || errors.Is(err, errNotKept) {
			didHarm = append(didHarm, HarmfulLink{Edge: edge, Err: err, ends: p.ends(edge)})
		}
	}
	p.blame(ctx, before, didHarm)
}

// skipHarmful counts the links that are not to be made as failed, unless one of the two
// nodes has restarted.
func (p *Pass) skipHarmful() {
	m := p.mesh()
	for _, link := range p.options.Harmful {
		if !m.HasLink(link.Edge) && p.ends(link.Edge) == link.ends {
			p.failed = append(p.failed, link.Edge)
			p.recordFailure(link.Edge, link.Err)
		}
	}
}

// next are the links to make. What failed in the last sweep comes last in this one, one by
// one: it may take long to fail again, and must not delay the rest, nor cost more than one part
// its links. Then the other end tries: packets may be lost in one direction.
func (p *Pass) next() []mesh.Edge {
	m, failed := p.mesh(), slices.Concat(p.failed, p.apart)
	if edges := m.Next(slices.Concat(failed, p.options.Postponed)); len(edges) > 0 {
		return edges
	}
	edges := m.Next(failed)
	if len(edges) == 0 {
		return nil
	}
	edge := edges[0]
	if back := reverse(edge); slices.Contains(p.options.Postponed, edge) && !m.Reported(back) {
		edge = back
	}
	return []mesh.Edge{edge}
}

// link has one of two nodes connect to the other, and returns the link as it was made.
func (p *Pass) link(ctx context.Context, deadline time.Time, edge mesh.Edge) (mesh.Edge, error) {
	err := p.connect(ctx, edge)
	if errors.Is(err, verify.ErrNotConnected) && time.Now().Before(deadline) && !p.options.ReadOnly() {
		edge = reverse(edge)
		err = p.connect(ctx, edge)
	}
	return edge, err
}

// linkOthers has the nodes of two parts, between which one link was just made, make the others.
// They would do so by themselves, but only after a second or more: global(3kernel) waits before it
// brings two parts together. Each node makes one link at a time, each to another peer than the
// others do, since a node with one processor takes one handshake at a time. What fails is left to
// the nodes: if it is still missing then, it is the next link to be made, and judged as that.
func (p *Pass) linkOthers(ctx context.Context, deadline time.Time, made mesh.Edge, pairs []mesh.Edge) {
	peers := map[string][]string{}
	for _, pair := range pairs {
		if pair != made && pair != reverse(made) {
			peers[pair.From] = append(peers[pair.From], pair.To)
		}
	}
	var group sync.WaitGroup
	first := 0
	for node, others := range peers {
		others = slices.Concat(others[first%len(others):], others[:first%len(others)])
		first++
		session := p.sessions[p.indexOf(node)]
		group.Go(func() {
			for _, other := range others {
				if time.Now().After(deadline) || p.options.ReadOnly() || session.Connect(ctx, other) != nil {
					return
				}
			}
		})
	}
	group.Wait()
}

func (p *Pass) connect(ctx context.Context, edge mesh.Edge) error {
	err := p.sessions[p.indexOf(edge.From)].Connect(ctx, edge.To)
	if err != nil {
		p.recordFailure(edge, err)
	}
	return err
}

func reverse(edge mesh.Edge) mesh.Edge { return mesh.Edge{From: edge.To, To: edge.From} }

// recordFailure records at the node that was to make a link why it was not made.
func (p *Pass) recordFailure(edge mesh.Edge, err error) {
	from := p.indexOf(edge.From)
	p.outcomes[from].Failed = append(p.outcomes[from].Failed, FailedLink{To: edge.To, Err: err})
}

// incarnations are those of the members: 0 of one that was not reached.
func (p *Pass) incarnations() []uint32 {
	incarnations := make([]uint32, len(p.members))
	for i, outcome := range p.outcomes {
		incarnations[i] = outcome.Incarnation
	}
	return incarnations
}

// restarted are the nodes that have other incarnations than before.
func (p *Pass) restarted(before []uint32) []string {
	var nodes []string
	for i, now := range p.incarnations() {
		if now != before[i] {
			nodes = append(nodes, p.members[i].Node)
		}
	}
	return nodes
}

// ends are the incarnations of the two nodes of a link: 0 of one that is not expected.
func (p *Pass) ends(edge mesh.Edge) (ends [2]uint32) {
	for i, node := range []string{edge.From, edge.To} {
		if at := p.indexOf(node); at >= 0 {
			ends[i] = p.outcomes[at].Incarnation
		}
	}
	return ends
}

func (p *Pass) indexOf(node string) int {
	return slices.IndexFunc(p.members, func(m Member) bool { return m.Node == node })
}

// settle waits until the parts of the mesh that links belong to are whole, or their time is over,
// and has those as errors that a node no longer reports. The nodes are busy: at least half of the
// time they are not asked.
func (p *Pass) settle(ctx context.Context, links []mesh.Edge, errs []error) {
	p.awaitWhole(ctx, links, errs)
	m := p.mesh()
	for i, edge := range links {
		switch {
		case errs[i] != nil:
		case m.HasLink(edge):
			p.made = append(p.made, edge)
		default:
			errs[i] = errNotKept
			p.recordFailure(edge, errNotKept)
		}
	}
}

func (p *Pass) awaitWhole(ctx context.Context, links []mesh.Edge, errs []error) {
	begun := time.Now()
	count, progress := -1, begun
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		refreshed := time.Now()
		p.refresh(ctx)
		m, whole := p.mesh(), true
		for i, edge := range links {
			whole = whole && (errs[i] != nil || m.HasLink(edge) && m.WholeAround(edge.From))
		}
		if m.Links() != count {
			count, progress = m.Links(), time.Now()
		}
		if whole || time.Since(progress) > standstill || time.Since(begun) > settlingTime {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(pause, time.Since(refreshed))): // Nodes do not announce links: they have to be asked.
		}
	}
}
