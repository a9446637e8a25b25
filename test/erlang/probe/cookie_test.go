//go:build erlang

package probe

import (
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/probe/sweep"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// Nodes change to another cookie while they run: no link is lost, and new ones are made with
// it. A node that has it already is verified, and one that has neither is reported.
func TestChangeCookie(t *testing.T) {
	c := newCluster(t)
	var nodes []*beam.Node
	for ordinal, otp := range beam.Releases {
		nodes = append(nodes, c.start(otp, ordinal))
	}
	if result := c.sweep(nodes); !result.Mesh.Whole() {
		t.Fatalf("parts are %v", result.Mesh.Components())
	}

	const another = "An0therCookie"
	c.verifier.Credentials.FormerCookie = c.verifier.Credentials.Cookie
	c.verifier.Credentials.Cookie = erldist.NewCookie(another)
	result := c.sweep(nodes)
	c.wantReasons(result, "Verified", "Verified", "Verified")
	if !result.Mesh.Whole() || len(result.Made) > 0 {
		t.Errorf("links %v had to be made again, the parts are %v", result.Made, result.Mesh.Components())
	}
	for _, node := range nodes {
		if got := c.call(c.dial(node, another), "erlang", "get_cookie"); got != erldist.Term(erldist.Atom(another)) {
			t.Errorf("%s has not got the new cookie", node.Name)
		}
	}

	// During the change, one node has the former cookie, and one that joins has the new one.
	c.call(c.dial(nodes[0], another), "erlang", "set_cookie", erldist.Atom(cookie))
	host := c.Host("chat-3")
	nodes = append(nodes, host.Start(beam.Options{OTP: "27", Cookie: another, FixedPort: port, TLS: c.tls(host)}))
	result = c.sweep(nodes)
	c.wantReasons(result, "Verified", "Verified", "Verified", "Verified")
	if !result.Mesh.Whole() || len(result.Made) != 1 {
		t.Errorf("links %v were made, the parts are %v", result.Made, result.Mesh.Components())
	}

	c.call(c.dial(nodes[0], another), "erlang", "set_cookie", erldist.Atom("AThirdCookie"))
	c.wantReasons(c.sweep(nodes), "CookieMismatch", "Verified", "Verified", "Verified")
}

// A node changes when its own file has the new cookie, and at once then. Until then it is
// verified with the former one, and nothing is linked; the others do not wait for it.
func TestChangeCookieWithItsFile(t *testing.T) {
	onEachRelease(t, func(t *testing.T, otp string) {
		const another = "An0therCookie"
		c := newCluster(t)
		waiting, ready := c.start(otp, 0), c.start(otp, 1)
		waiting.WriteFile("cookie/cookie", []byte(cookie))
		ready.WriteFile("cookie/cookie", []byte(another))
		c.verifier.Credentials.FormerCookie = c.verifier.Credentials.Cookie
		c.verifier.Credentials.Cookie = erldist.NewCookie(another)

		idle := sweep.Run(deadline(t), c.verifier, []sweep.Member{{Target: target(ready)}}, sweep.Options{Concurrency: 1, ReadOnly: func() bool { return true }})
		if !idle.Outcomes[0].Verified() || !idle.Outcomes[0].FormerCookie {
			t.Errorf("the cookie was changed by a read-only sweep: %+v", idle.Outcomes[0])
		}
		nodes := []*beam.Node{waiting, ready}
		result := c.sweep(nodes)
		c.wantReasons(result, "Verified", "Verified")
		if !result.Outcomes[0].FormerCookie || result.Outcomes[1].FormerCookie || len(result.Made) > 0 {
			t.Errorf("former cookies: %t and %t, links made: %v", result.Outcomes[0].FormerCookie, result.Outcomes[1].FormerCookie, result.Made)
		}

		logged := len(waiting.Log())
		pass := sweep.Begin(c.verifier, []sweep.Member{{Target: target(waiting), FormerCookie: true}}, sweep.Options{Concurrency: 1})
		defer pass.Close()
		steps := pass.Steps()
		if outcome := steps[0](deadline(t)).Outcomes[0]; !outcome.FormerCookie {
			t.Fatalf("the node has changed without its file: %+v", outcome)
		}
		begun := time.Now()
		waiting.WriteFile("cookie/cookie", []byte(another))
		steps[len(steps)-1](deadline(t))
		if took := time.Since(begun); took > 3*time.Second { // a pass asks five times a second, for ten seconds at most
			t.Errorf("the node has changed %s after its file", took)
		}
		if log := waiting.Log()[logged:]; log != "" {
			t.Errorf("the node, which was likely to have the former cookie, logs %s", log)
		}
		result = c.sweep(nodes)
		c.wantReasons(result, "Verified", "Verified")
		if result.Outcomes[0].FormerCookie || !result.Mesh.Whole() {
			t.Errorf("the node still has the former cookie: %t; the parts are %v", result.Outcomes[0].FormerCookie, result.Mesh.Components())
		}
	})
}
