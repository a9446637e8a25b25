package probe

import (
	"testing"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/probe/sweep"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

// The cookie of before is known until every node has the one of now, in whatever order the
// nodes can be verified.
func TestProvenCookie(t *testing.T) {
	with := func(reason string, former bool) sweep.Outcome {
		o := sweep.Outcome{FormerCookie: former}
		o.Reason = reason
		if reason == v1alpha1.ReasonVerified {
			o.Stage = v1alpha1.StageCall
		}
		return o
	}
	verified, former := with(v1alpha1.ReasonVerified, false), with(v1alpha1.ReasonVerified, true)
	gone := with(v1alpha1.ReasonConnectionTimedOut, false)
	var proven provenCookie
	for i, pass := range []struct {
		cookie, secret string // of the Secret: the current one, and the former one
		outcomes       []sweep.Outcome
		want           string // what nodes are tried with besides
	}{
		{"one", "", []sweep.Outcome{gone, gone}, ""},
		{"one", "", []sweep.Outcome{verified, gone}, ""},
		{"two", "", []sweep.Outcome{former, gone}, "one"},
		{"two", "", []sweep.Outcome{verified, gone}, "one"},
		{"two", "", []sweep.Outcome{verified, former}, "one"},
		{"two", "", []sweep.Outcome{verified, verified}, "one"},
		{"two", "", []sweep.Outcome{verified, verified}, ""},
		{"three", "given", []sweep.Outcome{verified, verified}, "given"},
		{"three", "", []sweep.Outcome{gone, gone}, ""},
	} {
		credentials := verify.Credentials{Cookie: erldist.NewCookie(pass.cookie)}
		if pass.secret != "" {
			credentials.FormerCookie = erldist.NewCookie(pass.secret)
		}
		if got := proven.complete(credentials).FormerCookie.Reveal(); got != pass.want {
			t.Errorf("pass %d: tried with %q, want %q", i, got, pass.want)
		}
		proven.learn(credentials.Cookie, sweep.Result{Outcomes: pass.outcomes})
	}
}
