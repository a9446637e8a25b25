//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// traffic is what a member has counted since its traffic began.
type traffic struct {
	calls int
	lost  int // calls that failed
	down  int // links to the others that went down
	atoms int // atoms that the node has
}

// startTraffic has each of the first so many members call each other one of them all
// the time, watch its links, and write down what it counts. It is written to a file,
// since whoever asks the node itself leaves an atom there.
func (c cluster) startTraffic(members int) {
	c.t.Helper()
	var nodes []string
	for ordinal := range members {
		nodes = append(nodes, "'"+c.node(ordinal)+"'")
	}
	for ordinal := range members {
		c.eval(ordinal, `register(traffic, spawn(fun() ->
			net_kernel:monitor_nodes(true),
			Peers = [`+strings.Join(nodes, ",")+`] -- [node()],
			Loop = fun Loop(Calls, Lost, Down) ->
				receive
					{nodedown, N} -> Loop(Calls, Lost, Down + length([N || lists:member(N, Peers)]));
					{nodeup, _} -> Loop(Calls, Lost, Down)
				after 50 ->
					Failed = [N || N <- Peers, rpc:call(N, erlang, node, [], 5000) =/= N],
					Counted = [Calls + length(Peers), Lost + length(Failed), Down],
					Text = io_lib:format("~b ~b ~b ~b", Counted ++ [erlang:system_info(atom_count)]),
					ok = file:write_file("/tmp/traffic.new", Text),
					ok = file:rename("/tmp/traffic.new", "/tmp/traffic"),
					apply(Loop, Counted)
				end
			end,
			Loop(0, 0, 0)
		end))`)
	}
}

// traffic is what a member has counted by now.
func (c cluster) traffic(ordinal int) (traffic, error) {
	var counted traffic
	text, err := kubectl(c.t.Context(), "", "exec", "-n", c.namespace, c.pod(ordinal), "-c", "node", "--", "cat", "/tmp/traffic")
	if err != nil {
		return traffic{}, err
	}
	if _, err := fmt.Sscanf(text, "%d %d %d %d", &counted.calls, &counted.lost, &counted.down, &counted.atoms); err != nil {
		return traffic{}, fmt.Errorf("traffic of %s is %q: %w", c.pod(ordinal), text, err)
	}
	return counted, nil
}

// checkTraffic demands that the traffic goes on, and that nothing of it was lost.
func (c cluster) checkTraffic(members int) {
	c.t.Helper()
	for ordinal := range members {
		var first, now traffic
		eventually(c.t, 20*time.Second, "the traffic of "+c.pod(ordinal)+" goes on", func() (err error) {
			if now, err = c.traffic(ordinal); err != nil {
				return err
			}
			if first.calls == 0 {
				first = now
			}
			if now.calls == first.calls {
				return fmt.Errorf("it stands at %d calls", now.calls)
			}
			return nil
		})
		c.t.Logf("%s: %d calls, %d lost; %d links went down", c.pod(ordinal), now.calls, now.lost, now.down)
		if now.lost > 0 || now.down > 0 {
			c.t.Errorf("%s: of %d calls %d were lost, and %d links went down", c.pod(ordinal), now.calls, now.lost, now.down)
		}
	}
}

// restarts are the UIDs of the first so many pods, and how often their containers
// were restarted.
func (c cluster) restarts(members int) string {
	c.t.Helper()
	args := []string{"get", "pods", "-n", c.namespace, "-o",
		"jsonpath={range .items[*]}{.metadata.name} {.metadata.uid} {.status.containerStatuses[*].restartCount}{\"\\n\"}{end}"}
	for ordinal := range members {
		args = append(args, c.pod(ordinal))
	}
	return must(c.t, args...)
}

// checkRestarts demands that these pods are those of before, and run as they did.
func (c cluster) checkRestarts(members int, before string) {
	c.t.Helper()
	if now := c.restarts(members); now != before {
		c.t.Errorf("pods were restarted:\n%s\nwas\n%s", now, before)
	}
}

// watchReady demands that a cluster is Ready all the time, until it is told to stop.
func (c cluster) watchReady() (stop func()) {
	ctx, cancel := context.WithCancel(c.t.Context())
	seen, ended := 0, make(chan struct{})
	var lapses []string
	go func() {
		defer close(ended)
		for ctx.Err() == nil { // The API server ends a watch after a while.
			ready := fmt.Sprintf(`{.status.conditions[?(@.type==%q)]`, v1alpha1.ConditionReady)
			watch := exec.CommandContext(ctx, "kubectl", "get", "erlangcluster", c.name, "-n", c.namespace, "--watch",
				"-o", "jsonpath="+ready+".status} "+ready+".reason}: "+ready+`.message}{"\n"}`)
			out, err := watch.StdoutPipe()
			if err != nil {
				lapses = append(lapses, err.Error())
				return
			}
			if err := watch.Start(); err != nil {
				lapses = append(lapses, err.Error())
				return
			}
			for lines := bufio.NewScanner(out); lines.Scan(); seen++ {
				if line := lines.Text(); !strings.HasPrefix(line, "True ") {
					lapses = append(lapses, time.Now().UTC().Format(time.TimeOnly)+" "+line)
				}
			}
			_ = watch.Wait() // It is ended by the API server, or by us.
		}
	}()
	return func() {
		c.t.Helper()
		cancel()
		<-ended
		if seen == 0 {
			c.t.Error("the watch of Ready saw nothing")
		}
		for _, lapse := range lapses {
			c.t.Errorf("not Ready on the way: %s", lapse)
		}
	}
}
