package sweep

import (
	"context"
	"errors"
	"slices"
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

// heal makes the links that are missing, one at a time, and observes the mesh after each.
// A node that accepts connections may still be unable to make them, so where one end fails
// at once, the other end tries.
//
// When nodes drop other links meanwhile, no further link is made in this sweep. They do so
// when two of them cannot connect, or when they are too busy to keep what they have: then
// each further link costs more than it gains.
func (p *Pass) heal(ctx context.Context) {
	if p.options.NoLinks || p.options.ReadOnly() || p.cookiesChange() {
		return
	}
	p.skipHarmful()
	if _, ok := p.next(); ok {
		p.refresh(ctx) // Links that were lost since the nodes were verified are not the fault of the first one.
	}
	deadline := time.Now().Add(p.options.HealingTime)
	for p.lost == 0 && time.Now().Before(deadline) && ctx.Err() == nil {
		edge, ok := p.next()
		if !ok {
			return
		}
		if p.keepsApart(ctx, edge) {
			continue
		}
		if p.options.ReadOnly() {
			return
		}
		before, incarnations := p.mesh(), p.incarnations()
		err := p.link(ctx, edge)
		if errors.Is(err, verify.ErrNotConnected) && time.Now().Before(deadline) && !p.options.ReadOnly() {
			err = p.link(ctx, mesh.Edge{From: edge.To, To: edge.From})
		}
		if err != nil {
			p.refresh(ctx)
		}
		if p.lost = p.mesh().Lost(before, p.restarted(incarnations)...); p.lost > 0 {
			err = verify.ErrLinksLost
			p.recordFailure(edge, err)
		}
		if err != nil {
			p.failed = append(p.failed, edge)
		}
		didHarm := errors.Is(err, verify.ErrLinksLost) || errors.Is(err, errNotKept)
		if didHarm && !p.suspectAll(ctx, before.Between(edge)) {
			p.harmful = append(p.harmful, HarmfulLink{Edge: edge, Err: err, ends: p.ends(edge)})
		}
	}
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

// next is the link to make. What failed in the last sweep comes last in this one: it may
// take long to fail again, and must not delay the rest. Then the other end tries: packets may
// be lost in one direction.
func (p *Pass) next() (mesh.Edge, bool) {
	m, failed := p.mesh(), slices.Concat(p.failed, p.apart)
	if edge, ok := m.Next(slices.Concat(failed, p.options.Postponed)); ok {
		return edge, true
	}
	edge, ok := m.Next(failed)
	if back := (mesh.Edge{From: edge.To, To: edge.From}); ok && slices.Contains(p.options.Postponed, edge) && !m.Reported(back) {
		return back, true
	}
	return edge, ok
}

// link has one node connect to another.
func (p *Pass) link(ctx context.Context, edge mesh.Edge) error {
	err := p.sessions[p.indexOf(edge.From)].Connect(ctx, edge.To)
	if err == nil && !p.settle(ctx, edge) {
		err = errNotKept
	}
	if err != nil {
		p.recordFailure(edge, err)
		return err
	}
	p.made = append(p.made, edge)
	return nil
}

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

// settle waits until the part of the mesh that a link belongs to is whole, or its time is
// over, and reports whether both ends report the link. The nodes are busy: at least half
// of the time they are not asked.
func (p *Pass) settle(ctx context.Context, edge mesh.Edge) (linked bool) {
	begun := time.Now()
	links, progress := -1, begun
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		refreshed := time.Now()
		p.refresh(ctx)
		m := p.mesh()
		linked = m.HasLink(edge)
		if linked && m.WholeAround(edge.From) {
			return true
		}
		if m.Links() != links {
			links, progress = m.Links(), time.Now()
		}
		if time.Since(progress) > standstill || time.Since(begun) > settlingTime {
			return linked
		}
		select {
		case <-ctx.Done():
			return linked
		case <-time.After(max(pause, time.Since(refreshed))): // Nodes do not announce links: they have to be asked.
		}
	}
}
