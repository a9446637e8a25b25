//go:build erlang

package erlang

import (
	"flag"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

var probes = flag.Int("probes", 300, "how many `probes` must not leave a trace")

// Probes leave nothing behind in a node: no name, no atom, no process, no
// word in its log.
func TestLeavesNoTrace(t *testing.T) {
	onEachRelease(t, func(t *testing.T, otp string) {
		c := newCluster(t)
		host := c.Host("chat-0")
		node := host.Start(beam.Options{OTP: otp, Cookie: cookie, FixedPort: 9100, TLS: c.nodeTLS(host)})
		dialer := c.dialer(node)
		for range 3 { // the first ones load code
			probe(t, dialer, node)
		}
		before, log := probe(t, dialer, node), node.Log()
		for range *probes {
			probe(t, dialer, node)
		}
		after := probe(t, dialer, node)
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("%d probes change what the node says (-before +after):\n%s", *probes, diff)
		}
		if node.Log() != log {
			t.Errorf("the node has logged: %s", node.Log()[len(log):])
		}
	})
}

// census is what a node says of itself.
type census struct {
	Atoms, Processes, Ports erldist.Term
	Nodes, Known            erldist.Term
}

// probe verifies a node and asks for its census.
func probe(t *testing.T, dialer *erldist.Dialer, node *beam.Node) census {
	t.Helper()
	conn, err := dialer.Dial(deadline(t), node.Name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ask := func(function, argument string) erldist.MFA {
		return erldist.MFA{Module: "erlang", Function: function, Args: []erldist.Term{erldist.Atom(argument)}}
	}
	results, err := conn.CallAll(deadline(t),
		ask("system_info", "atom_count"), ask("system_info", "process_count"), ask("system_info", "port_count"),
		erldist.MFA{Module: "erlang", Function: "nodes"}, ask("nodes", "known"))
	if err != nil {
		t.Fatal(err)
	}
	return census{results[0], results[1], results[2], results[3], results[4]}
}
