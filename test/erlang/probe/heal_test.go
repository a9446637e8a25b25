//go:build erlang

package probe

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/probe/sweep"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// TestHeal: nodes of three releases become one mesh, with one call less than there
// are nodes; one whose cookie was changed, and that lost its links, is named while
// the others stay together; and when that is undone it comes back.
func TestHeal(t *testing.T) {
	c := newCluster(t)
	var nodes []*beam.Node
	for ordinal, otp := range beam.Releases {
		nodes = append(nodes, c.start(otp, ordinal))
	}

	result := c.sweep(nodes)
	c.wantReasons(result, "Verified", "Verified", "Verified")
	if !result.Mesh.Whole() || len(result.Made) != 2 {
		t.Fatalf("%d links made, the parts are %v", len(result.Made), result.Mesh.Components())
	}
	for i, outcome := range result.Outcomes {
		if outcome.Refusals == nil || len(outcome.Refusals.Accepted) > 0 || outcome.Refusals.Incarnation != outcome.Incarnation {
			t.Errorf("refusals of %s: %+v, %v", outcome.Node, outcome.Refusals, outcome.TrialError)
		}
		if outcome.OTPRelease != beam.Releases[i] || outcome.Uptime <= 0 || outcome.CertificateNotAfter.IsZero() {
			t.Errorf("%s runs OTP %s for %s with a certificate until %s", outcome.Node, outcome.OTPRelease, outcome.Uptime, outcome.CertificateNotAfter)
		}
	}

	if result := c.sweep(nodes); len(result.Made) != 0 || !result.Mesh.Whole() {
		t.Errorf("a whole mesh was given the links %v", result.Made)
	}

	odd := c.dial(nodes[2], cookie)
	c.call(odd, "erlang", "set_cookie", erldist.Atom("An0therCookie"))
	c.call(odd, "erlang", "disconnect_node", erldist.Atom(nodes[0].Name))
	c.call(odd, "erlang", "disconnect_node", erldist.Atom(nodes[1].Name))

	result = c.sweep(nodes)
	c.wantReasons(result, "Verified", "Verified", "CookieMismatch")
	if diff := cmp.Diff([][]string{{nodes[0].Name, nodes[1].Name}, {nodes[2].Name}}, result.Mesh.Components()); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}

	c.call(odd, "erlang", "set_cookie", erldist.Atom(cookie))
	result = c.sweep(nodes)
	c.wantReasons(result, "Verified", "Verified", "Verified")
	if !result.Mesh.Whole() || len(result.Made) != 1 {
		t.Errorf("%d links made, the parts are %v", len(result.Made), result.Mesh.Components())
	}
}

func (c *cluster) wantReasons(result sweep.Result, want ...string) {
	c.t.Helper()
	var got []string
	for _, outcome := range result.Outcomes {
		got = append(got, outcome.Reason)
		if outcome.Reason != v1alpha1.ReasonVerified {
			c.t.Logf("%s at %s: %s", outcome.Reason, outcome.Stage, outcome.Message)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		c.t.Fatalf("reasons (-want +got):\n%s\nfirst message: %s", diff, result.Outcomes[0].Message)
	}
}
