package harness

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// Traffic is what a member has counted since its traffic began.
type Traffic struct {
	Calls int
	Lost  int // calls that failed
	Down  int // links to the others that went down
	Atoms int // in the node's atom table
}

// StartTraffic has each of the first members call the others all the time, watch its
// links, and count. It counts into a file, because a remote call for the numbers would
// add an atom.
func (c Cluster) StartTraffic(t testing.TB, members int) {
	t.Helper()
	var nodes []string
	for ordinal := range members {
		nodes = append(nodes, "'"+c.Node(ordinal)+"'")
	}
	for ordinal := range members {
		Must(c.Eval(t.Context(), ordinal, `register(traffic, spawn(fun() ->
			net_kernel:monitor_nodes(true),
			Peers = [`+strings.Join(nodes, ",")+`] -- [node()],
			Loop = fun Loop(Calls, Lost, Down) ->
				receive
					{nodedown, N} -> Loop(Calls, Lost, Down + length([N || lists:member(N, Peers)]));
					{nodeup, _} -> Loop(Calls, Lost, Down)
				after 50 ->
					Failed = [N || N <- Peers, rpc:call(N, erlang, node, [], 10000) =/= N],
					Counted = [Calls + length(Peers), Lost + length(Failed), Down],
					Text = io_lib:format("~b ~b ~b ~b", Counted ++ [erlang:system_info(atom_count)]),
					ok = file:write_file("/tmp/traffic.new", Text),
					ok = file:rename("/tmp/traffic.new", "/tmp/traffic"),
					apply(Loop, Counted)
				end
			end,
			Loop(0, 0, 0)
		end))`))(t)
	}
}

// Traffic is what a member has counted by now.
func (c Cluster) Traffic(ctx context.Context, ordinal int) (Traffic, error) {
	var counted Traffic
	text, err := kubectl.Run(ctx, "exec", "-n", c.Namespace, c.Pod(ordinal), "-c", "node", "--", "cat", "/tmp/traffic")
	if err != nil {
		return Traffic{}, err
	}
	if _, err := fmt.Sscanf(text, "%d %d %d %d", &counted.Calls, &counted.Lost, &counted.Down, &counted.Atoms); err != nil {
		return Traffic{}, fmt.Errorf("traffic of %s is %q: %w", c.Pod(ordinal), text, err)
	}
	return counted, nil
}

// CheckTraffic requires that the traffic goes on, and that no call and no link was lost.
func (c Cluster) CheckTraffic(t testing.TB, members int) {
	t.Helper()
	for ordinal := range members {
		var first, now Traffic
		await.Until(t, 2*time.Minute, "the traffic of "+c.Pod(ordinal)+" goes on", func(ctx context.Context) (err error) {
			if now, err = c.Traffic(ctx, ordinal); err != nil {
				return err
			}
			if first.Calls == 0 {
				first = now
			}
			if now.Calls == first.Calls {
				return fmt.Errorf("it stands at %d calls", now.Calls)
			}
			return nil
		})
		t.Logf("%s: %d calls, %d lost; %d links went down", c.Pod(ordinal), now.Calls, now.Lost, now.Down)
		if now.Lost > 0 || now.Down > 0 {
			t.Errorf("%s: of %d calls %d were lost, and %d links went down", c.Pod(ordinal), now.Calls, now.Lost, now.Down)
		}
	}
}

// Restarts are the UIDs of the first pods, and how often their containers restarted.
func (c Cluster) Restarts(ctx context.Context, members int) (string, error) {
	args := []string{"get", "pods", "-n", c.Namespace, "-o",
		"jsonpath={range .items[*]}{.metadata.name} {.metadata.uid} {.status.containerStatuses[*].restartCount}{\"\\n\"}{end}"}
	for ordinal := range members {
		args = append(args, c.Pod(ordinal))
	}
	return kubectl.Run(ctx, args...)
}

// CheckRestarts requires that the pods are those of before, and did not restart.
func (c Cluster) CheckRestarts(t testing.TB, members int, before string) {
	t.Helper()
	if now, err := c.Restarts(t.Context(), members); err != nil || now != before {
		t.Errorf("pods were restarted (%v):\n%s\nwas\n%s", err, now, before)
	}
}

// WatchReady watches the condition Ready until stop is called, which requires that it
// was True all the time.
func (c Cluster) WatchReady(t testing.TB) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	seen, ended := 0, make(chan struct{})
	var lapses []string
	go func() {
		defer close(ended)
		for ctx.Err() == nil { // The API server ends a watch after a while.
			if err := c.watchReady(ctx, func(line string) {
				seen++
				if !strings.HasPrefix(line, "True ") {
					lapses = append(lapses, time.Now().UTC().Format(time.TimeOnly)+" "+line)
				}
			}); err != nil {
				lapses = append(lapses, err.Error())
				return
			}
		}
	}()
	return func() {
		t.Helper()
		cancel()
		<-ended
		if seen == 0 {
			t.Error("the watch of Ready has shown nothing")
		}
		for _, lapse := range lapses {
			t.Errorf("not Ready in the meantime: %s", lapse)
		}
	}
}

// watchReady calls changed for each change of the cluster, until the watch ends.
func (c Cluster) watchReady(ctx context.Context, changed func(line string)) error {
	ready := fmt.Sprintf(`{.status.conditions[?(@.type==%q)]`, v1alpha1.ConditionReady)
	watch := exec.CommandContext(ctx, "kubectl", "get", "erlangcluster", c.Name, "-n", c.Namespace, "--watch",
		"-o", "jsonpath="+ready+".status} "+ready+".reason}: "+ready+`.message}{"\n"}`)
	out, err := watch.StdoutPipe()
	if err != nil {
		return err
	}
	if err := watch.Start(); err != nil {
		return err
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		changed(lines.Text())
	}
	_ = watch.Wait() // The API server has ended it, or we have.
	return nil
}
