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
func (p *pass) heal(ctx context.Context) {
	enough := time.Now().Add(p.options.HealingTime)
	for time.Now().Before(enough) && ctx.Err() == nil {
		edge, ok := p.next()
		if !ok {
			return
		}
		err := p.link(ctx, edge)
		if errors.Is(err, verify.ErrNotConnected) && time.Now().Before(enough) {
			err = p.link(ctx, mesh.Edge{From: edge.To, To: edge.From})
		}
		if err != nil {
			p.failed = append(p.failed, edge)
			p.look(ctx)
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
	from := slices.IndexFunc(p.members, func(m Member) bool { return m.Node == edge.From })
	err := p.sessions[from].Connect(ctx, edge.To)
	if err == nil && !p.settle(ctx, edge) {
		err = errNotKept
	}
	if err != nil {
		p.outcomes[from].Failed = append(p.outcomes[from].Failed, FailedLink{To: edge.To, Err: err})
		return err
	}
	p.made = append(p.made, edge)
	return nil
}

// settle looks until the part of the mesh that a link belongs to is whole, or has
// had its time. It says whether both ends report the link.
func (p *pass) settle(ctx context.Context, edge mesh.Edge) (linked bool) {
	begun := time.Now()
	links, progress := -1, begun
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		p.look(ctx)
		m := p.mesh()
		linked = slices.Contains(m.Linked(edge.From), edge.To) && slices.Contains(m.Linked(edge.To), edge.From)
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
		case <-time.After(pause): // Nothing tells of a link but a look.
		}
	}
}
