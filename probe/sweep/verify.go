package sweep

import (
	"context"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

// verifyOnce verifies a node whose turn it was not: of one whose turn it was, it awaits the end of
// that. What that has said of its peers may be old then.
func (p *Pass) verifyOnce(ctx context.Context, i int) {
	if p.renewed[i] {
		<-p.renewals
		p.refreshNode(ctx, i)
	} else {
		p.verify(ctx, i)
	}
	p.outcomes[i].Silent = p.knownSilent(i) // until it is asked
}

// verify tries a second time where time soon ran out, because some lost packets, or a machine
// that was busy for a moment, prove nothing. When most of the time for both is over, nothing is
// left to be learned from a second one, and a node that hangs is to be reported.
func (p *Pass) verify(ctx context.Context, i int) {
	begun, most := time.Now(), p.verifier.Limits.Tries
	p.try(ctx, i)
	if mayDiffer(p.outcomes[i].Verdict) && time.Since(begun) < most*3/4 {
		ctx, cancel := context.WithDeadline(ctx, begun.Add(most))
		defer cancel()
		p.try(ctx, i)
	}
}

// try has the verdict of one try, unless it is cut off: what failed proves nothing then.
func (p *Pass) try(ctx context.Context, i int) {
	if verdict, session := p.tryStarting(ctx, i); session != nil || ctx.Err() == nil {
		p.outcomes[i].Verdict, p.sessions[i] = verdict, session
		p.members[i].NotPlaintext = verdict.TriedPlaintext
	}
}

// mayDiffer reports whether a second try may have another result.
func mayDiffer(verdict verify.Verdict) bool {
	return verdict.TimedOut || verdict.Reason == v1alpha1.ReasonConnectionTimedOut || verdict.Reason == v1alpha1.ReasonHandshakeTimedOut
}

// longestPause is how late at most it is noticed that a node listens. A try costs a connection that
// is refused, or two to an epmd that does not know the node yet.
const longestPause = 100 * time.Millisecond

// tryStarting tries a node again that begins to listen any moment: the next sweep would verify
// all the others, too.
func (p *Pass) tryStarting(ctx context.Context, i int) (verify.Verdict, *verify.Session) {
	for pause := 25 * time.Millisecond; ; pause = min(pause*3/2, longestPause) {
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

// refresh asks every verified node for its peers. One that no longer answers is verified
// again from the beginning, to find out why.
func (p *Pass) refresh(ctx context.Context) {
	p.each(func(i int) { p.refreshNode(ctx, i) })
}

func (p *Pass) refreshNode(ctx context.Context, i int) {
	if p.sessions[i] == nil {
		return
	}
	info, err := p.sessions[i].Info(ctx)
	switch {
	case err == nil:
		p.outcomes[i].Peers = info.Peers
	case ctx.Err() == nil:
		p.sessions[i].Close()
		p.sessions[i] = nil
		_, host, _ := erldist.SplitNodeName(p.members[i].Node)
		p.verifier.Lookups.Forget(host)
		p.verify(ctx, i)
	}
}
