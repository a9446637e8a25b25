package sweep

import "context"

// tryRefusals runs the refusal trials once per incarnation of a verified node.
func (p *Pass) tryRefusals(ctx context.Context, i int) {
	outcome := &p.outcomes[i]
	if p.sessions[i] == nil || p.members[i].ProvenAt == outcome.Incarnation {
		return
	}
	accepted, err := p.verifier.TryRefusals(ctx, p.sessions[i])
	if err != nil {
		outcome.RefusalsError = err
		return
	}
	outcome.Refusals = &Refusals{Incarnation: outcome.Incarnation, Accepted: accepted}
}
