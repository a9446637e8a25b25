//go:build erlang

package probe

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
	"github.com/erlang-operator/erlang-operator/test/journal"
)

// Five nodes are replaced one by one by nodes of the next releases of OTP, each when the mesh is whole
// again. The others stay linked at every instant, and no call between them is lost.
func TestRollingToAnotherOTP(t *testing.T) {
	t.Parallel()
	const members = 5
	c := newCluster(t)
	hosts, nodes := make([]*beam.Host, members), make([]*beam.Node, members)
	var events []journal.Event
	read := func(ordinal int) {
		for line := range strings.Lines(nodes[ordinal].Log()) {
			if event, ok := journal.Parse(ordinal, strings.TrimSpace(line)); ok {
				events = append(events, event)
			}
		}
	}
	start := func(ordinal int, otp string) *beam.Node {
		return hosts[ordinal].Launch(beam.Options{OTP: otp, Cookie: cookie, FixedPort: port, TLS: c.tls(hosts[ordinal]),
			Args: []string{"-eval", journal.Expressions + "ok."}})
	}
	awaitMesh := func() {
		await.Until(t, 5*time.Minute, "the mesh is whole", func(context.Context) error {
			if result := c.sweep(nodes); !result.Mesh.Whole() {
				return fmt.Errorf("the parts are %v", result.Mesh.Components())
			}
			return nil
		})
	}
	for ordinal := range members {
		hosts[ordinal] = c.Host(fmt.Sprintf("chat-%d", ordinal))
		nodes[ordinal] = start(ordinal, beam.Releases[0])
	}
	for _, node := range nodes {
		node.AwaitUp()
	}
	awaitMesh()
	for _, otp := range beam.Releases[1:] {
		for ordinal := members - 1; ordinal >= 0; ordinal-- {
			c.call(c.dial(nodes[ordinal], cookie), "init", "stop")
			<-nodes[ordinal].Ended()
			read(ordinal)
			nodes[ordinal] = start(ordinal, otp)
			awaitMesh()
		}
	}
	for ordinal := range members {
		read(ordinal)
	}
	journal.Sort(events)
	journal.Check(t, events, members, members-1)
}
