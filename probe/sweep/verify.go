package sweep

import (
	"context"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

// patience is how long a first try may take to be followed by a second one. After the limit
// of TLS nothing is left to be learned from it, and a node that hangs is to be reported.
const patience = 6 * time.Second

// verifyOnce verifies a node that confirm has not.
func (p *Pass) verifyOnce(ctx context.Context, i int) {
	if !p.renewed[i] {
		p.verify(ctx, i)
	}
	p.outcomes[i].Silent = p.knownSilent(i) // until it is asked
}

// verify tries a second time where time soon ran out, because some lost packets, or a machine
// that was busy for a moment, prove nothing. Both take no longer than the stages of one may.
func (p *Pass) verify(ctx context.Context, i int) {
	begun, most := time.Now(), p.verifier.Limits.Sum()
	for range 2 {
		verdict, session := p.tryStarting(ctx, i)
		if session == nil && ctx.Err() != nil {
			return // Cut off: what failed proves nothing.
		}
		p.outcomes[i].Verdict, p.sessions[i] = verdict, session
		p.members[i].NotPlaintext = verdict.TriedPlaintext
		if took := time.Since(begun); !mayDiffer(verdict) || took > patience || 2*took > most {
			return
		}
	}
}

// mayDiffer reports whether a second try may have another result.
func mayDiffer(verdict verify.Verdict) bool {
	return verdict.TimedOut || verdict.Reason == v1alpha1.ReasonConnectionTimedOut || verdict.Reason == v1alpha1.ReasonHandshakeTimedOut
}

// tryStarting tries a node again that begins to listen any moment: the next sweep would verify
// all the others, too.
func (p *Pass) tryStarting(ctx context.Context, i int) (verify.Verdict, *verify.Session) {
	for pause := 25 * time.Millisecond; ; pause += pause / 2 {
		verdict, session := p.tryCookies(ctx, i)
		listens := verdict.Reason != v1alpha1.ReasonConnectionRefused && verdict.Reason != v1alpha1.ReasonNodeNotRegistered
		if listens || time.Now().Add(pause).After(p.members[i].StartingUntil) {
			return verdict, session
		}
		select {
		case <-ctx.Done():
			return verdict, session
		case <-time.After(pause): // A node does not announce that it listens.
		}
	}
}
