package probe

import (
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/probe/mesh"
	"github.com/erlang-operator/erlang-operator/probe/sweep"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

// TestBackoff: links that do harm rest, longer each time, and within bounds; those that
// did none when they were tried again are forgotten.
func TestBackoff(t *testing.T) {
	link := func(to string) []sweep.HarmfulLink {
		return []sweep.HarmfulLink{{Edge: mesh.Edge{From: "a", To: to}}}
	}
	var b backoff
	now := noon
	for _, step := range []struct {
		after   time.Duration
		resting int // before the sweep
		harmful []sweep.HarmfulLink
		wait    time.Duration // after it
	}{
		{0, 0, nil, 0},
		{0, 0, link("b"), 15 * time.Second},
		{5 * time.Second, 1, link("c"), 30 * time.Second},
		{29 * time.Second, 2, nil, 30 * time.Second},
		{time.Second, 0, link("b"), time.Minute},
		{time.Minute, 0, link("b"), 2 * time.Minute},
		{2 * time.Minute, 0, link("b"), 4 * time.Minute},
		{4 * time.Minute, 0, link("b"), 5 * time.Minute},
		{5 * time.Minute, 0, link("b"), 5 * time.Minute},
		{4 * time.Minute, 1, nil, 5 * time.Minute},
		{time.Minute, 0, nil, 0},
		{time.Second, 0, link("b"), 15 * time.Second},
	} {
		now = now.Add(step.after)
		if resting := b.resting(now); len(resting) != step.resting {
			t.Fatalf("after %s, %v rest, want %d", now.Sub(noon), resting, step.resting)
		}
		b.record(now, now, step.harmful)
		if b.wait != step.wait {
			t.Fatalf("after %s, the wait is %s, want %s", now.Sub(noon), b.wait, step.wait)
		}
	}
}

// TestNotPlaintext: a node is not tried in plaintext again until another verdict shows that
// it may have restarted.
func TestNotPlaintext(t *testing.T) {
	outcome := sweep.Outcome{Verdict: verify.Verdict{
		Node: "a", Stage: v1alpha1.StageTLS, Reason: v1alpha1.ReasonHandshakeTimedOut, TriedPlaintext: true,
	}}
	if !notPlaintext([]sweep.Outcome{outcome})["a"] {
		t.Error("a silent node is to be tried again")
	}
	outcome.Stage, outcome.Reason = v1alpha1.StageConnectDistribution, v1alpha1.ReasonConnectionRefused
	if notPlaintext([]sweep.Outcome{outcome})["a"] {
		t.Error("a node that restarts is not to be tried again")
	}
}
