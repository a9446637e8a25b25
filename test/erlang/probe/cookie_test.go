//go:build erlang

package probe

import (
	"testing"

	"github.com/erlang-operator/erlang-operator/erldist"
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
