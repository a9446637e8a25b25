//go:build erlang

package erlang

import (
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// A bad wire makes verification slow, and its result is right.
func TestBadWire(t *testing.T) {
	for name, wire := range map[string]beam.Wire{
		"400 ms each way":      {Delay: 400 * time.Millisecond},
		"3 in 10 packets lost": {Loss: 0.3},
		"some of both":         {Delay: 50 * time.Millisecond, Loss: 0.1},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			host := c.Host("chat-0")
			node := host.Start(beam.Options{OTP: "29", Cookie: cookie, FixedPort: 9100, TLS: c.nodeTLS(host)})
			mustDial(t, c.dialer(node), node.Name)
			host.Degrade(wire)

			took := map[erldist.Stage]time.Duration{}
			ctx := erldist.WithTrace(deadline(t), &erldist.Trace{StageDone: func(r erldist.StageReport) { took[r.Stage] = r.Duration }})
			conn, err := c.dialer(node).Dial(ctx, node.Name)
			for tries := 1; err != nil && tries < 5; tries++ {
				// The node gives up after 7 s, which the fifth loss of one packet in a
				// row takes, or a busy machine.
				t.Log(err)
				conn, err = c.dialer(node).Dial(ctx, node.Name)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if err := conn.Ping(ctx); err != nil {
				t.Fatal(err)
			}
			for _, stage := range []erldist.Stage{erldist.StageConnectDistribution, erldist.StageTLS, erldist.StageHandshake, erldist.StageCall} {
				if took[stage] < 2*wire.Delay {
					t.Errorf("stage %s took %s, less than the round trip", stage, took[stage])
				}
			}
		})
	}
}
