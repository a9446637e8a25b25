package sweep

import (
	"context"
	"slices"

	"github.com/erlang-operator/erlang-operator/probe/mesh"
)

// askPeers has a verified node call the nodes that it is linked to. Those are silent that do
// not answer twice: one lost packet, or one long pause of a node, proves nothing.
func (p *Pass) askPeers(ctx context.Context, i int) {
	p.outcomes[i].Silent = nil
	if p.sessions[i] == nil || len(p.outcomes[i].Peers) == 0 {
		return
	}
	silent, err := p.sessions[i].Silent(ctx)
	if err != nil || len(silent) == 0 {
		return // What a node does not tell says nothing about its peers.
	}
	again, err := p.sessions[i].Silent(ctx)
	if err == nil {
		p.outcomes[i].Silent = slices.DeleteFunc(again, func(node string) bool { return !slices.Contains(silent, node) })
	}
}

// silent are the links of verified nodes over which one does not answer the other.
func (p *Pass) silent() (edges []mesh.Edge) {
	for i, outcome := range p.outcomes {
		for _, peer := range outcome.Silent {
			edges = append(edges, mesh.Edge{From: p.members[i].Node, To: peer})
		}
	}
	return edges
}
