package sweep

import (
	"context"
	"slices"

	"github.com/erlang-operator/erlang-operator/probe/mesh"
)

// askPeers has the verified nodes call the others that they are linked to, unless they have just
// done so. One that is not verified is reported as that: nobody waits for its answer.
func (p *Pass) askPeers(ctx context.Context) {
	if p.confirmed {
		return
	}
	var verified []string
	for i, node := range p.nodes() {
		if p.sessions[i] != nil {
			verified = append(verified, node)
		}
	}
	p.each(func(i int) {
		if p.sessions[i] != nil {
			p.askPeersOf(ctx, i, verified)
		}
	})
}

// askPeersOf has a node call some peers. Those are silent that do not answer twice: one lost
// packet, or one long pause of a node, proves nothing. Of a node that cannot say, what was known
// before holds on: that a link is silent, or not.
func (p *Pass) askPeersOf(ctx context.Context, i int, peers []string) {
	silent, err := p.silentAmong(ctx, i, peers)
	if err == nil && len(silent) > 0 {
		silent, err = p.silentAmong(ctx, i, silent)
	}
	if err == nil {
		p.outcomes[i].Silent = silent
	}
}

// silentAmong asks about the links that the node still has: a call would connect it to a node
// that it has lost since it was verified.
func (p *Pass) silentAmong(ctx context.Context, i int, peers []string) ([]string, error) {
	linked, err := p.sessions[i].Peers(ctx)
	if err != nil {
		return nil, err
	}
	p.outcomes[i].Peers = linked
	return p.sessions[i].Silent(ctx, p.linkedAmong(i, peers))
}

// knownSilent are the nodes that a member is linked to, and that did not answer it over that link
// the last time. Of a link that is new since then nothing is known, whatever became of the last one.
func (p *Pass) knownSilent(i int) []string {
	return slices.DeleteFunc(slices.Clone(p.outcomes[i].Peers), func(peer string) bool {
		return !slices.Contains(p.options.Silent, mesh.Edge{From: p.members[i].Node, To: peer})
	})
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
