//go:build erlang

package erlang

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// Probes leave nothing behind in a node: no name, no atom, no process, nothing in its log.
func TestLeavesNoTrace(t *testing.T) {
	onEachRelease(t, func(t *testing.T, otp string) {
		c := newCluster(t)
		host := c.Host("chat-0")
		node := host.Start(beam.Options{OTP: otp, Cookie: cookie, FixedPort: 9100, TLS: c.nodeTLS(host)})
		dialer := c.dialer(node)
		warmUp(t, dialer, node)
		before, log := probe(t, dialer, node), node.Log()
		probes := beam.Times(300, 10_000)
		for range probes {
			probe(t, dialer, node)
		}
		after := probe(t, dialer, node)
		for tries := 0; tries < 20 && after != before; tries++ { // the last connections may still be ending
			after = probe(t, dialer, node)
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("%d probes change what the node reports (-before +after):\n%s", probes, diff)
		}
		if node.Log() != log {
			t.Errorf("the node has logged: %s", node.Log()[len(log):])
		}
	})
}

// warmUp makes the node load its code and fill its pool of dynamic names, which it
// gives out again and again: one for each connection that there is at a time. On a busy
// machine the node may not have noticed the end of the last few when it accepts the next one.
func warmUp(t *testing.T, dialer *erldist.Dialer, node *beam.Node) {
	t.Helper()
	for range 20 {
		defer func(c *erldist.Conn) { _ = c.Close() }(mustDial(t, dialer, node.Name))
		probe(t, dialer, node)
	}
}

// census is how many of these a node has.
type census struct {
	Atoms, Processes, Ports erldist.Int
	Nodes                   int
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
		erldist.MFA{Module: "erlang", Function: "nodes"})
	if err != nil {
		t.Fatal(err)
	}
	return census{
		results[0].(erldist.Int), results[1].(erldist.Int), results[2].(erldist.Int),
		len(results[3].(erldist.List)),
	}
}
