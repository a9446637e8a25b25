package sweep

import (
	"context"
	"slices"
	"sync"

	"github.com/erlang-operator/erlang-operator/probe/mesh"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

// maxPairs bounds how many pairs of nodes try to reach each other for one link.
const maxPairs = 64

// keepApart returns the links that would not have nodes connect that do not reach each other. OTP
// has all others disconnect from one of two such nodes, so the parts stay as they are. No two of
// the links concern the same node.
func (p *Pass) keepApart(ctx context.Context, edges []mesh.Edge) (safe []mesh.Edge) {
	m, suspects := p.mesh(), make([][]mesh.Edge, len(edges))
	for i, edge := range edges {
		suspects[i] = slices.DeleteFunc(m.Between(edge), func(pair mesh.Edge) bool { return !p.isSuspect(pair) })
	}
	for i, unreachable := range p.allUnreachable(ctx, suspects) {
		for _, pair := range unreachable {
			p.recordFailure(pair, verify.ErrUnreachable)
		}
		if len(unreachable) > 0 {
			p.apart = append(p.apart, edges[i])
		} else {
			safe = append(safe, edges[i])
		}
	}
	return safe
}

// blame has those links as harmful that did harm though all the nodes that they would have
// connect reach each other. Those nodes that do not are suspects.
func (p *Pass) blame(ctx context.Context, before mesh.Mesh, didHarm []HarmfulLink) {
	pairs := make([][]mesh.Edge, len(didHarm))
	for i, link := range didHarm {
		pairs[i] = before.Between(link.Edge)
	}
	for i, unreachable := range p.allUnreachable(ctx, pairs) {
		p.suspects = append(p.suspects, unreachable...)
		if len(unreachable) == 0 {
			p.harmful = append(p.harmful, didHarm[i])
		}
	}
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

// allUnreachable are the unreachable ones of the pairs of each of some links, all tried at once.
func (p *Pass) allUnreachable(ctx context.Context, pairs [][]mesh.Edge) [][]mesh.Edge {
	unreachable := make([][]mesh.Edge, len(pairs))
	var group sync.WaitGroup
	for i := range pairs {
		group.Go(func() { unreachable[i] = p.unreachable(ctx, pairs[i]) })
	}
	group.Wait()
	return unreachable
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
