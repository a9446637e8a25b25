package probe

import (
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/probe/mesh"
	"github.com/erlang-operator/erlang-operator/probe/sweep"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

// sweeper sweeps the nodes, and remembers the links that could not be made.
type sweeper struct {
	options      Options
	failed       []mesh.Edge // in the last sweep
	suspects     []mesh.Edge // of the last sweep
	silent       []mesh.Edge // in the last sweep
	harmful      backoff
	kept         sweep.Kept
	lookups      verify.Lookups
	notPlaintext map[string]bool // nodes that were tried in plaintext, and still do not answer in TLS
}

// begin begins a sweep at some time.
func (s *sweeper) begin(desired desired, now time.Time, readOnly func() bool) *sweep.Pass {
	verifier := &verify.Verifier{
		Credentials: desired.credentials, Limits: s.options.Limits,
		Resolve: s.options.Resolve, FullNames: true, DialContext: s.options.DialContext,
	}
	if desired.published != nil {
		verifier.Published, verifier.Located, verifier.Lookups = desired.published.awaitDNS, desired.published.addresses, &s.lookups
	}
	for i := range desired.members {
		desired.members[i].NotPlaintext = s.notPlaintext[desired.members[i].Node]
	}
	return sweep.Begin(verifier, desired.members, sweep.Options{
		Concurrency: s.options.Concurrency, HealingTime: s.options.HealingTime,
		NoLinks: desired.formation == v1alpha1.FormationApplication, ReadOnly: readOnly,
		Postponed: s.failed, Harmful: s.harmful.resting(now), Suspects: s.suspects, Silent: s.silent,
		Kept: &s.kept,
	})
}

// record takes the result of a sweep that began at some time.
func (s *sweeper) record(begun, now time.Time, result sweep.Result) {
	s.failed, s.suspects, s.silent = result.Failed, result.Suspects, result.Silent
	s.notPlaintext = notPlaintext(result.Outcomes)
	s.harmful.record(begun, now, result.Harmful)
}

// notPlaintext are the nodes not to be tried in plaintext again, since each try may add a
// line to the log of a node that is busy. Any other verdict may be on a node that restarted.
func notPlaintext(outcomes []sweep.Outcome) map[string]bool {
	nodes := map[string]bool{}
	for _, outcome := range outcomes {
		silent := outcome.Reason == v1alpha1.ReasonHandshakeTimedOut || outcome.Reason == v1alpha1.ReasonHandshakeRejected
		if outcome.Stage == v1alpha1.StageTLS && silent && outcome.TriedPlaintext {
			nodes[outcome.Node] = true
		}
	}
	return nodes
}

// Nodes that were fixed without a restart are seen to be so after maxBackoff at the
// latest.
const (
	minBackoff = 15 * time.Second
	maxBackoff = 5 * time.Minute
)

// backoff keeps links from being made that did harm when they were made, and longer each
// time that links do so again. No check can foresee it: two nodes cannot connect, and OTP
// has others disconnect from them. A cluster in two parts that stay as they are is better
// than one that falls apart every few seconds.
type backoff struct {
	links []sweep.HarmfulLink
	wait  time.Duration
	until time.Time
}

// resting are the links not to be made now.
func (b *backoff) resting(now time.Time) []sweep.HarmfulLink {
	if !now.Before(b.until) {
		return nil
	}
	return b.links
}

// record takes the harmful links of a sweep that began at some time.
func (b *backoff) record(begun, now time.Time, harmful []sweep.HarmfulLink) {
	triedAll := b.resting(begun) == nil
	if triedAll {
		b.links = nil
	}
	if len(harmful) > 0 {
		b.links = append(b.links, harmful...)
		b.wait = min(max(2*b.wait, minBackoff), maxBackoff)
		b.until = now.Add(b.wait)
	} else if triedAll {
		b.wait = 0
	}
}
