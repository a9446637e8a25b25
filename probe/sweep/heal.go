package sweep

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/erlang-operator/erlang-operator/probe/mesh"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

// Nodes that one link has joined make the others among themselves. settlingTime is
// how long they are given for it before anybody else does, and glance the time
// between two looks.
const (
	settlingTime = 2 * time.Second
	glance       = 20 * time.Millisecond
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
		edge, ok := p.mesh().Next(p.failed)
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
	enough := time.After(settlingTime)
	for {
		p.look(ctx)
		m := p.mesh()
		linked = slices.Contains(m.Linked(edge.From), edge.To) && slices.Contains(m.Linked(edge.To), edge.From)
		if linked && wholeAround(m, edge.From) {
			return true
		}
		select {
		case <-ctx.Done():
			return linked
		case <-enough:
			return linked
		case <-time.After(glance):
		}
	}
}

// wholeAround says that the nodes of the part that a node belongs to are all linked
// to each other.
func wholeAround(m mesh.Mesh, node string) bool {
	for _, part := range m.Components() {
		if !slices.Contains(part, node) {
			continue
		}
		for _, a := range part {
			linked := m.Linked(a)
			for _, b := range part {
				if a != b && !slices.Contains(linked, b) {
					return false
				}
			}
		}
	}
	return true
}
