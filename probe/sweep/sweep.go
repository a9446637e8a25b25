package sweep

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/probe/mesh"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

// Member is a node that is expected in the mesh.
type Member struct {
	verify.Target
	// ProvenAt is the incarnation of the node at which refusals were tried already;
	// 0 when they never were.
	ProvenAt uint32
	// Stored is the serial number of the certificate that is stored for the node; empty
	// when it is not known.
	Stored string
}

// Options of a sweep.
type Options struct {
	// Concurrency is how many nodes are spoken to at a time.
	Concurrency int
	// HealingTime is after how long no further link is begun. What is left is for
	// the next sweep.
	HealingTime time.Duration
	// Postponed are the links that failed in the last sweep.
	Postponed []mesh.Edge
	// Harmful are links that are not to be made.
	Harmful []HarmfulLink
}

// HarmfulLink is a link that did not last when it was made, or at the cost of others.
type HarmfulLink struct {
	mesh.Edge
	Err  error
	ends [2]uint32 // the incarnations of its two nodes
}

// Result is what came of a sweep.
type Result struct {
	// Outcomes are those of the members, in their order.
	Outcomes []Outcome
	// Mesh is what the nodes reported last.
	Mesh mesh.Mesh
	// Made are the links that were made.
	Made []mesh.Edge
	// Failed are the links that could not be made from either end, or were harmful.
	Failed []mesh.Edge
	// Harmful are those of them that did harm in this sweep.
	Harmful []HarmfulLink
	// Lost is how many links the nodes gave up while the last one was made: no
	// further was begun.
	Lost int
}

// Outcome is what came of a sweep for one node.
type Outcome struct {
	verify.Verdict
	// Failed are the links that the node was told to make, and could not.
	Failed []FailedLink
	// Refusals is what came of trying what the node must refuse; nil when that was
	// not due, or came to no end.
	Refusals *Refusals
	// TrialError is why the trials came to no end.
	TrialError error
	// Canary is what came of showing the node the canary; nil when there is none, or it
	// came to no end.
	Canary *Canary
	// Outdated says that the node does not work with the files that it should have. It
	// was told to read them anew, and the next sweep shows whether it did.
	Outdated bool
	// CertificatesError is why that, or the trial of the canary, came to no end.
	CertificatesError error
}

// Canary is what came of showing a node the canary.
type Canary struct {
	Authority string
	Accepted  bool
}

// FailedLink is a link that could not be made.
type FailedLink struct {
	To  string
	Err error
}

// Refusals is what came of trying what a node must refuse.
type Refusals struct {
	Incarnation uint32
	Accepted    []v1alpha1.RefusalTrial
}

// Run takes one pass over the members. A node that does not answer holds up the
// verdicts on the others no longer than the stage in which it hangs may take.
func Run(ctx context.Context, verifier *verify.Verifier, members []Member, options Options) Result {
	p := &pass{
		verifier: verifier,
		options:  options,
		members:  members,
		outcomes: make([]Outcome, len(members)),
		sessions: make([]*verify.Session, len(members)),
	}
	defer p.close()

	p.each(func(i int) { p.verify(ctx, i) })
	p.heal(ctx)
	p.each(func(i int) {
		p.tryRefusals(ctx, i)
		p.tryCertificates(ctx, i)
	})

	return Result{Outcomes: p.outcomes, Mesh: p.mesh(), Made: p.made, Failed: p.failed, Harmful: p.harmful, Lost: p.lost}
}

// pass is a sweep under way. sessions has one for each node that is verified.
type pass struct {
	verifier *verify.Verifier
	options  Options
	members  []Member
	outcomes []Outcome
	sessions []*verify.Session
	made     []mesh.Edge
	failed   []mesh.Edge
	harmful  []HarmfulLink
	lost     int
}

// each does something for every member, a bounded number at a time.
func (p *pass) each(do func(i int)) {
	var group errgroup.Group
	group.SetLimit(p.options.Concurrency)
	for i := range p.members {
		group.Go(func() error {
			do(i)
			return nil
		})
	}
	_ = group.Wait() // Every failure is part of an outcome.
}

func (p *pass) close() {
	for _, session := range p.sessions {
		if session != nil {
			session.Close()
		}
	}
}

// verify takes a second try where time ran out, for some lost packets, or a machine
// that was busy for a moment, are no verdict on a node; and where the node had the
// cookie before, and has the one of now by then.
func (p *pass) verify(ctx context.Context, i int) {
	for range 2 {
		p.outcomes[i].Verdict, p.sessions[i] = p.verifier.Verify(ctx, p.members[i].Target)
		switch p.outcomes[i].Reason {
		case v1alpha1.ReasonConnectionTimedOut, v1alpha1.ReasonHandshakeTimedOut:
		case v1alpha1.ReasonCookieMismatch:
			if !p.changeCookie(ctx, i) {
				return
			}
		default:
			return
		}
	}
}

// changeCookie says whether a node has just been given the cookie of now.
func (p *pass) changeCookie(ctx context.Context, i int) bool {
	return !p.verifier.Credentials.FormerCookie.IsZero() && p.verifier.ChangeCookie(ctx, p.members[i].Target) == nil
}

// look asks every verified node whom it is linked to. One that does not answer any
// more is verified anew, from the beginning, to know why.
func (p *pass) look(ctx context.Context) {
	p.each(func(i int) {
		if p.sessions[i] == nil {
			return
		}
		view, err := p.sessions[i].Look(ctx)
		if err != nil {
			p.sessions[i].Close()
			p.verify(ctx, i)
			return
		}
		p.outcomes[i].Peers = view.Peers
	})
}

func (p *pass) mesh() mesh.Mesh {
	expected := make([]string, len(p.members))
	views := make(map[string][]string, len(p.members))
	for i, member := range p.members {
		expected[i] = member.Node
		if p.outcomes[i].Verified() {
			views[member.Node] = p.outcomes[i].Peers
		}
	}
	return mesh.Of(expected, views)
}

// tryRefusals is for a verified node that runs an incarnation at which it was not
// done yet.
func (p *pass) tryRefusals(ctx context.Context, i int) {
	outcome := &p.outcomes[i]
	if p.sessions[i] == nil || p.members[i].ProvenAt == outcome.Incarnation {
		return
	}
	accepted, err := p.verifier.TryRefusals(ctx, p.sessions[i])
	if err != nil {
		outcome.TrialError = err
		return
	}
	outcome.Refusals = &Refusals{Incarnation: outcome.Incarnation, Accepted: accepted}
}
