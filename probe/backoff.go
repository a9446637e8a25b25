package probe

import (
	"time"

	"github.com/erlang-operator/erlang-operator/probe/sweep"
)

// Whoever mends the nodes without a restart sees so after mostBackoff at the latest.
const (
	leastBackoff = 15 * time.Second
	mostBackoff  = 5 * time.Minute
)

// backoff lets links rest that did harm when they were made, and longer each time that
// links do so anew. What is wrong with them no probe can see before: that two nodes
// cannot connect, and OTP has others part with them. A cluster in two parts that stay
// as they are is better than one that falls apart every few seconds.
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

// learn takes note of a sweep that began at some time.
func (b *backoff) learn(begun, now time.Time, harmful []sweep.HarmfulLink) {
	tried := b.resting(begun) == nil // all that was resting
	if tried {
		b.links = nil
	}
	if len(harmful) > 0 {
		b.links = append(b.links, harmful...)
		b.wait = min(max(2*b.wait, leastBackoff), mostBackoff)
		b.until = now.Add(b.wait)
	} else if tried {
		b.wait = 0
	}
}
