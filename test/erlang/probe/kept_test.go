//go:build erlang

package probe

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/probe/sweep"
	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// TestKeptSessions: the nodes have one hidden connection from the probe, which stays. A cookie that
// is changed in a node is found by the next sweep, and a link that ends, too. The end of the
// connection, orderly or not, leaves no trace. That of a node is told.
func TestKeptSessions(t *testing.T) {
	c := newCluster(t)
	var conns connections
	dial := c.verifier.DialContext
	c.verifier.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		conns.add(conn)
		return conn, err
	}
	nodes := []*beam.Node{c.start("25", 0), c.start("27", 1), c.start("29", 2)}
	members := make([]sweep.Member, len(nodes))
	for i, node := range nodes {
		verdict, session := c.verifier.Verify(deadline(t), target(node))
		if session == nil {
			t.Fatal(verdict.Message)
		}
		session.Close()
		members[i] = sweep.Member{Target: target(node), ProvenAt: verdict.Incarnation} // Refusals are logged, and late.
	}
	var kept sweep.Kept
	defer kept.Close()
	sweepOnce := func() sweep.Result {
		return sweep.Run(deadline(t), c.verifier, members, sweep.Options{Concurrency: 16, HealingTime: 20 * time.Second, Kept: &kept})
	}
	settle := func() {
		t.Helper()
		// The second sweep keeps the sessions, and the third asks over them, unless the machine is busy.
		await.Until(t, 2*time.Minute, "a sweep of a whole mesh that makes no connection", func(context.Context) error {
			made := conns.count()
			if result := sweepOnce(); !result.Mesh.Whole() || conns.count() > made {
				return fmt.Errorf("it made %d, and the parts are %v", conns.count()-made, result.Mesh.Components())
			}
			return nil
		})
	}
	settle()
	var logs []int
	for _, node := range nodes {
		logs = append(logs, len(node.Log()))
	}
	observers := make([]*erldist.Conn, len(nodes))
	for i, node := range nodes {
		observers[i] = c.dial(node, cookie)
	}
	awaitHidden := func(want int) {
		t.Helper()
		for i, node := range nodes {
			await.Until(t, time.Minute, "hidden nodes of "+node.Name, func(ctx context.Context) error {
				if want > 0 {
					sweepOnce() // A busy machine may have made the last one slow.
				}
				hidden, err := observers[i].Call(ctx, "erlang", "nodes", erldist.Atom("hidden"))
				if list, ok := hidden.(erldist.List); err == nil && (!ok || len(list) != want+1) {
					err = fmt.Errorf("there are %v, and one observes", hidden)
				}
				return err
			})
		}
	}
	awaitHidden(1)
	conns.drop() // as when the probe is killed
	awaitHidden(0)
	awaitHidden(1)
	kept.Close()
	awaitHidden(0)
	for i, node := range nodes {
		if more := node.Log()[logs[i]:]; more != "" {
			t.Errorf("%s logged, on OTP %s:\n%s", node.Name, beam.Releases[i], more)
		}
	}

	settle()
	c.call(observers[1], "erlang", "set_cookie", erldist.Atom("An0therCookie"))
	if result := sweepOnce(); result.Outcomes[1].Reason != v1alpha1.ReasonCookieMismatch {
		t.Errorf("with another cookie the node is %s: %s", result.Outcomes[1].Reason, result.Outcomes[1].Message)
	}
	c.call(observers[1], "erlang", "set_cookie", erldist.Atom(cookie))
	settle()
	c.call(observers[0], "erlang", "disconnect_node", erldist.Atom(nodes[2].Name))
	await.Until(t, time.Minute, "the mesh is healed", func(context.Context) error {
		if result := sweepOnce(); !result.Mesh.Whole() {
			return fmt.Errorf("parts are %v", result.Mesh.Components())
		}
		return nil
	})

	lost := make(chan struct{}, 1)
	settle()
	kept.Lost = func() { lost <- struct{}{} }
	nodes[2].Kill()
	select {
	case <-lost:
	case <-time.After(time.Minute):
		t.Error("a node has died, and that is not told")
	}
}

// connections are those of a verifier.
type connections struct {
	sync.Mutex
	made []net.Conn
}

func (c *connections) add(conn net.Conn) {
	c.Lock()
	defer c.Unlock()
	if conn != nil {
		c.made = append(c.made, conn)
	}
}

func (c *connections) count() int {
	c.Lock()
	defer c.Unlock()
	return len(c.made)
}

// drop ends them silently: TLS does not announce it.
func (c *connections) drop() {
	c.Lock()
	defer c.Unlock()
	for _, conn := range c.made {
		_ = conn.Close() // Most have ended.
	}
}
