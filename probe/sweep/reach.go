package sweep

import (
	"context"
	"slices"
	"sync"

	"github.com/erlang-operator/erlang-operator/probe/mesh"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

// maxPairs bounds how many pairs of nodes try to reach each other at a time.
const maxPairs = 64

// keepsApart reports whether a link would have nodes connect that do not reach each other. OTP
// has all others disconnect from one of two such nodes, so the parts stay as they are.
func (p *Pass) keepsApart(ctx context.Context, edge mesh.Edge) bool {
	pairs := slices.DeleteFunc(p.mesh().Between(edge), func(pair mesh.Edge) bool { return !p.isSuspect(pair) })
	for _, pair := range p.unreachable(ctx, pairs) {
		p.recordFailure(pair, verify.ErrUnreachable)
		if !slices.Contains(p.apart, edge) {
			p.apart = append(p.apart, edge)
		}
	}
	return slices.Contains(p.apart, edge)
}

// suspectAll adds those of some pairs to the suspects that do not reach each other, and reports
// whether there are any.
func (p *Pass) suspectAll(ctx context.Context, pairs []mesh.Edge) bool {
	unreachable := p.unreachable(ctx, pairs)
	p.suspects = append(p.suspects, unreachable...)
	return len(unreachable) > 0
}

func (p *Pass) isSuspect(pair mesh.Edge) bool {
	return slices.Contains(p.suspects, pair) || slices.Contains(p.suspects, mesh.Edge{From: pair.To, To: pair.From})
}

// stillSuspect are the suspects, and the pairs that do not answer each other, less those that
// are linked.
func (p *Pass) stillSuspect(m mesh.Mesh) (suspects []mesh.Edge) {
	known := map[mesh.Edge]bool{} // There are thousands when a hundred nodes are cut in halves.
	for _, pair := range slices.Concat(p.suspects, p.silent()) {
		back := mesh.Edge{From: pair.To, To: pair.From}
		if p.indexOf(pair.From) >= 0 && p.indexOf(pair.To) >= 0 && !known[pair] && !known[back] && !m.HasLink(pair) {
			known[pair] = true
			suspects = append(suspects, pair)
		}
	}
	return suspects
}

// unreachable are the pairs of verified nodes neither of which opens a TCP connection to the
// other.
func (p *Pass) unreachable(ctx context.Context, pairs []mesh.Edge) (unreachable []mesh.Edge) {
	pairs = pairs[:min(len(pairs), maxPairs)]
	reached := make([][2]bool, len(pairs))
	var group sync.WaitGroup
	for i, pair := range pairs {
		group.Go(func() { reached[i][0] = p.reaches(ctx, pair.From, pair.To) })
		group.Go(func() { reached[i][1] = p.reaches(ctx, pair.To, pair.From) })
	}
	group.Wait()
	for i, pair := range pairs {
		if reached[i] == [2]bool{} && ctx.Err() == nil {
			unreachable = append(unreachable, pair)
		}
	}
	return unreachable
}

// reaches reports whether a node opens a TCP connection to another. What cannot be asked is no
// reason to keep them apart.
func (p *Pass) reaches(ctx context.Context, from, to string) bool {
	session := p.sessions[p.indexOf(from)]
	if session == nil {
		return true
	}
	reached, err := session.Reaches(ctx, p.outcomes[p.indexOf(to)].Address())
	return reached || err != nil
}
