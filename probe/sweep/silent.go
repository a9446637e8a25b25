package sweep

import (
	"context"
	"slices"

	"github.com/erlang-operator/erlang-operator/probe/mesh"
)

// askPeers has a verified node call the members that it is linked to. Those are silent that do
// not answer twice: one lost packet, or one long pause of a node, proves nothing. Of a node that
// cannot say, what was known before holds on: that a link is silent, or not.
func (p *Pass) askPeers(ctx context.Context, i int) {
	p.outcomes[i].Silent = nil
	if p.sessions[i] == nil {
		return
	}
	silent, err := p.sessions[i].Silent(ctx, p.linkedAmong(i, p.nodes()))
	if err == nil && len(silent) > 0 {
		silent, err = p.stillSilent(ctx, i, silent)
	}
	if err != nil {
		silent = slices.DeleteFunc(p.linkedAmong(i, p.nodes()), func(peer string) bool {
			return !p.isSuspect(mesh.Edge{From: p.members[i].Node, To: peer})
		})
	}
	p.outcomes[i].Silent = silent
}

// stillSilent asks a second time, about the links that the node still has: a call would connect
// it to a node that it has lost meanwhile.
func (p *Pass) stillSilent(ctx context.Context, i int, silent []string) ([]string, error) {
	info, err := p.sessions[i].Info(ctx)
	if err != nil {
		return nil, err
	}
	p.outcomes[i].Peers = info.Peers
	return p.sessions[i].Silent(ctx, p.linkedAmong(i, silent))
}

// linkedAmong are those of some nodes that a member is linked to.
func (p *Pass) linkedAmong(i int, nodes []string) []string {
	return slices.DeleteFunc(slices.Clone(p.outcomes[i].Peers), func(peer string) bool { return !slices.Contains(nodes, peer) })
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
