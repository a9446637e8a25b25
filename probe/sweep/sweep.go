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
	// ProvenAt is the incarnation of the node at which the refusal trials were completed;
	// 0 when they never were.
	ProvenAt uint32
	// Stored is the serial number of the certificate that is stored for the node; empty
	// when it is unknown.
	Stored string
}

// Options of a sweep.
type Options struct {
	// Concurrency is how many nodes are spoken to at a time.
	Concurrency int
	// HealingTime is the time after which no further link is begun. The rest is left to
	// the next sweep.
	HealingTime time.Duration
	// Postponed are the links that failed in the last sweep.
	Postponed []mesh.Edge
	// Harmful are the links that are not to be made.
	Harmful []HarmfulLink
}

// HarmfulLink is a link that did not last when it was made, or at the cost of others.
type HarmfulLink struct {
	mesh.Edge
	Err  error
	ends [2]uint32 // the incarnations of its two nodes
}

// Result is the result of a sweep.
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
	// Lost is how many links the nodes dropped while the last one was made. After that
	// no further link was begun.
	Lost int
}

// Outcome is the result of a sweep for one node.
type Outcome struct {
	verify.Verdict
	// Failed are the links that the node was to make, and could not.
	Failed []FailedLink
	// Refusals is the result of the refusal trials; nil when they were not due or not
	// completed.
	Refusals *Refusals
	// RefusalsError is why the refusal trials were not completed.
	RefusalsError error
	// Canary is the result of the trial of the canary; nil when there is none, or the
	// trial was not completed.
	Canary *Canary
	// Outdated reports whether the node uses other files than it should. It was made to
	// read them again, and the next sweep shows whether it did.
	Outdated bool
	// CertificatesError is why the trial of the canary, or the reading of the files, was
	// not completed.
	CertificatesError error
}

// Canary is the result of the trial of the canary at a node.
type Canary struct {
	Authority string
	Accepted  bool
}

// FailedLink is a link that could not be made.
type FailedLink struct {
	To  string
	Err error
}

// Refusals is the result of the refusal trials at a node.
type Refusals struct {
	Incarnation uint32
	Accepted    []v1alpha1.RefusalTrial
}

// Run takes one pass over the members. A node that does not answer delays the verdicts on
// the others by no more than the limit of the stage in which it hangs.
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

// verify tries a second time where time ran out, because some lost packets, or a machine
// that was busy for a moment, prove nothing; and where the node had the former cookie and
// has just been given the current one.
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

// changeCookie reports whether a node has just been given the current cookie.
func (p *pass) changeCookie(ctx context.Context, i int) bool {
	return !p.verifier.Credentials.FormerCookie.IsZero() && p.verifier.ChangeCookie(ctx, p.members[i].Target) == nil
}

// refresh asks every verified node for its peers. One that no longer answers is verified
// again from the beginning, to find out why.
func (p *pass) refresh(ctx context.Context) {
	p.each(func(i int) {
		if p.sessions[i] == nil {
			return
		}
		info, err := p.sessions[i].Info(ctx)
		if err != nil {
			p.sessions[i].Close()
			p.verify(ctx, i)
			return
		}
		p.outcomes[i].Peers = info.Peers
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

// tryRefusals runs the refusal trials once per incarnation of a verified node.
func (p *pass) tryRefusals(ctx context.Context, i int) {
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
