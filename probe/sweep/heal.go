package sweep

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/erlang-operator/erlang-operator/probe/mesh"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

// Nodes that one link has joined make the others among themselves. They are given
// time for it: as long as they go on, up to settlingTime, and standstill after the
// last link.
const (
	settlingTime = 10 * time.Second
	standstill   = 2 * time.Second
)

// errNotKept: a node said that it is connected, and soon after one of the two was
// not.
var errNotKept = errors.New("the link was made and did not last")

// heal makes the links that are missing: one, and then it looks again. A node that can
// be connected to may still be unable to connect to others, so where one end fails at
// once, the other end tries.
//
// Where nodes give up other links meanwhile, it leaves them in peace until the next
// sweep. They do so when two of them cannot connect, or when they are too busy to keep
// what they have: then each further link costs more than it is worth.
func (p *pass) heal(ctx context.Context) {
	p.leaveHarmful()
	enough := time.Now().Add(p.options.HealingTime)
	for p.lost == 0 && time.Now().Before(enough) && ctx.Err() == nil {
		edge, ok := p.next()
		if !ok {
			return
		}
		before, incarnations := p.mesh(), p.incarnations()
		err := p.link(ctx, edge)
		if errors.Is(err, verify.ErrNotConnected) && time.Now().Before(enough) {
			err = p.link(ctx, mesh.Edge{From: edge.To, To: edge.From})
		}
		if err != nil {
			p.look(ctx)
		}
		if p.lost = p.mesh().Lost(before, p.restarted(incarnations)...); p.lost > 0 {
			err = verify.ErrLinksLost
			p.blame(edge, err)
		}
		if err != nil {
			p.failed = append(p.failed, edge)
		}
		if errors.Is(err, verify.ErrLinksLost) || errors.Is(err, errNotKept) {
			p.harmful = append(p.harmful, HarmfulLink{Edge: edge, Err: err, ends: p.ends(edge)})
		}
	}
}

// leaveHarmful counts the links that are not to be made as tried in vain, unless one of
// the two nodes has restarted.
func (p *pass) leaveHarmful() {
	m := p.mesh()
	for _, link := range p.options.Harmful {
		if !m.Holds(link.Edge) && p.ends(link.Edge) == link.ends {
			p.failed = append(p.failed, link.Edge)
			p.blame(link.Edge, link.Err)
		}
	}
}

// next is the link to make. What failed in the last sweep comes last in this one: it
// may take long to fail again, and must not keep the rest from being mended.
func (p *pass) next() (mesh.Edge, bool) {
	m := p.mesh()
	if edge, ok := m.Next(slices.Concat(p.failed, p.options.Postponed)); ok {
		return edge, true
	}
	return m.Next(p.failed)
}

// link has one node connect to another.
func (p *pass) link(ctx context.Context, edge mesh.Edge) error {
	err := p.sessions[p.indexOf(edge.From)].Connect(ctx, edge.To)
	if err == nil && !p.settle(ctx, edge) {
		err = errNotKept
	}
	if err != nil {
		p.blame(edge, err)
		return err
	}
	p.made = append(p.made, edge)
	return nil
}

// blame notes at the node that was to make a link what came of it.
func (p *pass) blame(edge mesh.Edge, err error) {
	from := p.indexOf(edge.From)
	p.outcomes[from].Failed = append(p.outcomes[from].Failed, FailedLink{To: edge.To, Err: err})
}

// incarnations are those of the members: 0 of one that was not spoken to.
func (p *pass) incarnations() []uint32 {
	incarnations := make([]uint32, len(p.members))
	for i, outcome := range p.outcomes {
		incarnations[i] = outcome.Incarnation
	}
	return incarnations
}

// restarted are the nodes that have other incarnations than before.
func (p *pass) restarted(before []uint32) []string {
	var nodes []string
	for i, now := range p.incarnations() {
		if now != before[i] {
			nodes = append(nodes, p.members[i].Node)
		}
	}
	return nodes
}

// ends are the incarnations of the two nodes of a link: 0 of one that is not expected.
func (p *pass) ends(edge mesh.Edge) (ends [2]uint32) {
	for i, node := range []string{edge.From, edge.To} {
		if at := p.indexOf(node); at >= 0 {
			ends[i] = p.outcomes[at].Incarnation
		}
	}
	return ends
}

func (p *pass) indexOf(node string) int {
	return slices.IndexFunc(p.members, func(m Member) bool { return m.Node == node })
}

// settle looks until the part of the mesh that a link belongs to is whole, or has
// had its time. It says whether both ends report the link. The nodes are at work: at
// least half of the time it leaves them to it.
func (p *pass) settle(ctx context.Context, edge mesh.Edge) (linked bool) {
	begun := time.Now()
	links, progress := -1, begun
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		looked := time.Now()
		p.look(ctx)
		m := p.mesh()
		linked = m.Holds(edge)
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
		case <-time.After(max(pause, time.Since(looked))): // Nothing tells of a link but a look.
		}
	}
}
