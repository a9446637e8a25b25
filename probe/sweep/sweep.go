package sweep

import (
	"context"
	"slices"
	"sync"
	"time"

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
	// FormerCookie reports whether the node is likely to have the cookie that the nodes
	// change from.
	FormerCookie bool
	// Stored is the serial number of the certificate that is stored for the node; empty
	// when it is unknown.
	Stored string
	// StartingUntil is until when the node is likely to begin to listen.
	StartingUntil time.Time
}

// Options of a sweep.
type Options struct {
	// Concurrency is how many nodes take their turn at a time. One that hangs soon loses
	// its turn.
	Concurrency int
	// HealingTime is the time after which no further link is begun. The rest is left to
	// the next sweep.
	HealingTime time.Duration
	// NoLinks: no link is made, because the application makes them.
	NoLinks bool
	// ReadOnly reports whether nothing may be changed in the nodes now: no link is made, no
	// cookie is changed, and no node is made to read its files again. It is asked before each
	// change; nil for never.
	ReadOnly func() bool
	// Postponed are the links that failed in the last sweep.
	Postponed []mesh.Edge
	// Harmful are the links that are not to be made.
	Harmful []HarmfulLink
	// Suspects are the Suspects of the last sweep.
	Suspects []mesh.Edge
	// Silent are the Silent links of the last sweep.
	Silent []mesh.Edge
	// Kept has the sessions that the last sweep left open, and gets those of this one; nil to
	// close them.
	Kept *Kept
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
	// Mesh is what the nodes reported last, without the links over which they do not answer.
	Mesh mesh.Mesh
	// Healed reports whether the links that are missing were tried.
	Healed bool
	// ReadOnly reports whether nothing was changed in the nodes.
	ReadOnly bool
	// Tried reports whether the refusals and the certificates were tried.
	Tried bool
	// Settled reports whether the other steps have nothing to do: nothing has changed since the
	// last sweep.
	Settled bool
	// Made are the links that were made.
	Made []mesh.Edge
	// Failed are the links that could not be made from either end, or were harmful.
	Failed []mesh.Edge
	// Harmful are those of them that did harm in this sweep.
	Harmful []HarmfulLink
	// Suspects are pairs of nodes that did not answer or reach each other, in this sweep or an
	// earlier one, and have not been linked since. No link is made that would have them connect,
	// unless they reach each other.
	Suspects []mesh.Edge
	// Silent are the links over which From gets no answer from To. One that was silent in the last
	// sweep is so until From is asked.
	Silent []mesh.Edge
	// Lost is how many links the nodes dropped while the last one was made. After that
	// no further link was begun.
	Lost int
}

// Outcome is the result of a sweep for one node.
type Outcome struct {
	verify.Verdict
	// FormerCookie reports whether the node was verified with the cookie that the nodes
	// change from, because its file does not have the current one yet.
	FormerCookie bool
	// Silent are the nodes that it is linked to, and that do not answer it over that link.
	Silent []string
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
	// Outdated reports whether the node uses other files than it should. Unless the sweep is
	// read-only it was made to read them again, and the next one shows whether it did.
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

// Run takes all the steps of a pass.
func Run(ctx context.Context, verifier *verify.Verifier, members []Member, options Options) (result Result) {
	pass := Begin(verifier, members, options)
	defer pass.Close()
	for _, step := range pass.Steps() {
		if result = step(ctx); result.Settled {
			break
		}
	}
	return result
}

// A Pass is a sweep under way. sessions has one for each node that is verified.
type Pass struct {
	verifier *verify.Verifier
	options  Options
	members  []Member
	outcomes []Outcome
	sessions []*verify.Session
	renewed  []bool        // nodes whose turn it was
	renewals chan struct{} // closed when these are verified
	// confirmed reports whether nothing is wrong by what the nodes said over kept sessions.
	confirmed bool
	made      []mesh.Edge
	failed    []mesh.Edge
	harmful   []HarmfulLink
	suspects  []mesh.Edge
	apart     []mesh.Edge // links not made, because of nodes that do not reach each other
	lost      int
	changes   changes
}

// Begin begins a pass over the members. The caller closes it.
func Begin(verifier *verify.Verifier, members []Member, options Options) *Pass {
	if options.ReadOnly == nil {
		options.ReadOnly = func() bool { return false }
	}
	return &Pass{
		verifier: verifier,
		options:  options,
		members:  slices.Clone(members),
		outcomes: make([]Outcome, len(members)),
		suspects: slices.Clone(options.Suspects),
		sessions: make([]*verify.Session, len(members)),
		renewed:  make([]bool, len(members)),
		changes:  newChanges(),
	}
}

// Steps are to verify every node, to have them call each other over their links, to make the links
// that are missing, to try what nodes must refuse and which certificates they use, and to wait for
// nodes whose cookie is about to change. Each returns what is known by then.
//
// The first one takes no longer than the tries of one node may, and some seconds where sessions are
// kept, however many nodes hang. A step in which a node hangs later is cut off.
func (p *Pass) Steps() []func(context.Context) Result {
	return []func(context.Context) Result{
		func(ctx context.Context) Result {
			if p.confirmed = p.confirm(ctx); !p.confirmed {
				p.each(func(i int) { p.verifyOnce(ctx, i) })
			}
			settled := p.isSettled()
			return p.result(settled, settled)
		},
		func(ctx context.Context) Result {
			p.askPeers(ctx)
			return p.result(false, false)
		},
		func(ctx context.Context) Result {
			ctx, cancel := context.WithTimeout(ctx, p.options.HealingTime+healingReserve)
			defer cancel()
			p.heal(ctx)
			return p.result(true, false)
		},
		func(ctx context.Context) Result {
			p.each(func(i int) {
				p.tryRefusals(ctx, i)
				p.tryCertificates(ctx, i)
			})
			return p.result(true, true)
		},
		func(ctx context.Context) Result {
			p.changes.await(ctx)
			return p.result(true, true)
		},
	}
}

func (p *Pass) result(healed, tried bool) Result {
	silent := p.silent()
	m := p.mesh().Without(silent)
	return Result{
		Outcomes: slices.Clone(p.outcomes), Mesh: m, Silent: silent, Healed: healed, Tried: tried, Settled: p.isSettled(), ReadOnly: p.options.ReadOnly(),
		Made: p.made, Failed: p.failed, Harmful: p.harmful, Suspects: p.stillSuspect(m), Lost: p.lost,
	}
}

// turn is how long a node may keep others from their turn. One that takes longer is likely
// to wait for something, and waiting costs nothing.
const turn = 100 * time.Millisecond

// each does something for every member. A bounded number take their turn at a time, because
// handshakes cost the nodes, and their machines, computing time. The last ones leave
// each other enough turns, and need no limit.
func (p *Pass) each(do func(i int)) {
	turns := make(chan struct{}, p.options.Concurrency)
	var group sync.WaitGroup
	for i := range p.members {
		turns <- struct{}{}
		over := sync.OnceFunc(func() { <-turns })
		stop := func() bool { return true }
		if i+cap(turns) < len(p.members) {
			stop = time.AfterFunc(turn, over).Stop
		}
		group.Go(func() {
			defer over()
			defer stop()
			do(i)
		})
	}
	group.Wait()
}

// Close ends the connections to the nodes, unless they are kept.
func (p *Pass) Close() {
	defer p.changes.close()
	if p.options.Kept.keep(p) {
		return
	}
	for _, session := range p.sessions {
		if session != nil {
			session.Close()
		}
	}
}

func (p *Pass) nodes() []string {
	nodes := make([]string, len(p.members))
	for i := range p.members { // not copies: other fields of them change while the nodes are verified
		nodes[i] = p.members[i].Node
	}
	return nodes
}

func (p *Pass) mesh() mesh.Mesh {
	views := make(map[string][]string, len(p.members))
	for i, member := range p.members {
		if p.outcomes[i].Verified() {
			views[member.Node] = p.outcomes[i].Peers
		}
	}
	return mesh.Of(p.nodes(), views)
}
