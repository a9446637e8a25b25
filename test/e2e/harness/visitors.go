package harness

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/test/await"
)

// Visitors call the node of their pod, one after the other.
type Visitors struct {
	commands bool
	mutex    sync.Mutex
	visits   map[string][]visit // by pod
}

// visit is one that ended.
type visit struct {
	begun  time.Time
	failed bool
}

// What runs in a pod prints of each visit when it began, by the clock of the pod's machine,
// and its exit status.
const (
	// Commands has each visit be a command.
	Commands = `while :; do
	begun=$(date +%s%3N)
	/run/erlang-operator/bin/visitor erl -noinput -eval '
		halt(case rpc:call(list_to_atom(os:getenv("ERLANG_NODE")), erlang, is_alive, []) of true -> 0; _ -> 1 end).' >/dev/null 2>&1
	echo "$begun $?"
done`
	// Connections has one visitor do every 100 ms what a visitor that starts does: read the
	// cookie, and connect with it.
	Connections = `exec /run/erlang-operator/bin/visitor erl -noinput -eval '
	Node = list_to_atom(os:getenv("ERLANG_NODE")),
	Visit = fun Visit() ->
		Begun = erlang:system_time(millisecond),
		{ok, Cookie} = file:read_file("/run/erlang-operator/cookie/cookie"),
		true = erlang:set_cookie(Node, binary_to_atom(Cookie)),
		erlang:disconnect_node(Node),
		Status = case net_kernel:connect_node(Node) of true -> 0; false -> 1 end,
		io:format("~b ~b~n", [Begun, Status]),
		timer:sleep(100),
		Visit()
	end,
	Visit().'`
)

// StartVisitors has visitors call the first members until the test ends, and waits for the
// first in each.
func (c Cluster) StartVisitors(t testing.TB, members int, visits string) *Visitors {
	t.Helper()
	v := &Visitors{commands: visits == Commands, visits: map[string][]visit{}}
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	t.Cleanup(func() { cancel(); group.Wait() })
	for ordinal := range members {
		pod := c.Pod(ordinal)
		loop := exec.CommandContext(ctx, "kubectl", "exec", "-n", c.Namespace, pod, "-c", "node", "--", "timeout", "1800", "sh", "-c", visits)
		out := Must(loop.StdoutPipe())(t)
		if err := loop.Start(); err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			v.read(pod, bufio.NewScanner(out))
			_ = loop.Wait() // The end of the test has ended it.
		})
	}
	v.AwaitAnother(t, members)
	return v
}

func (v *Visitors) read(pod string, lines *bufio.Scanner) {
	for lines.Scan() {
		var begun int64
		var status int
		if _, err := fmt.Sscan(lines.Text(), &begun, &status); err != nil {
			continue // cut off
		}
		v.mutex.Lock()
		v.visits[pod] = append(v.visits[pod], visit{time.UnixMilli(begun), status != 0})
		v.mutex.Unlock()
	}
}

// AwaitAnother waits until a visitor that begins now has succeeded in each pod.
func (v *Visitors) AwaitAnother(t testing.TB, pods int) {
	t.Helper()
	since := time.Now()
	await.Until(t, 3*time.Minute, "a visitor succeeds in each pod", func(context.Context) error {
		v.mutex.Lock()
		defer v.mutex.Unlock()
		succeeded := 0
		for _, visits := range v.visits {
			if last := visits[len(visits)-1]; last.begun.After(since) && !last.failed {
				succeeded++
			}
		}
		if succeeded < pods {
			return fmt.Errorf("in %d of %d", succeeded, pods)
		}
		return nil
	})
}

// CheckFailures requires that visitors fail in a row for no longer: those that begin later
// than that after the first that failed succeed again. A command takes seconds to start: what
// makes the first one fail may happen as late as its end, when the next one begins.
func (v *Visitors) CheckFailures(t testing.TB, most time.Duration) {
	t.Helper()
	v.mutex.Lock()
	defer v.mutex.Unlock()
	for pod, visits := range v.visits {
		var failures []string
		var first, last time.Time
		for i, visit := range visits {
			switch {
			case visit.failed && first.IsZero():
				first, last = visit.begun, visit.begun
				if v.commands && i+1 < len(visits) {
					first, last = visits[i+1].begun, visits[i+1].begun
				}
			case visit.failed:
				last = visit.begun
			case !first.IsZero():
				took := last.Sub(first)
				if failures = append(failures, took.String()); took > most {
					t.Errorf("visitors of %s failed for %s", pod, took)
				}
				first = time.Time{}
			}
		}
		t.Logf("%s: %d visitors; from the first to the last that failed in a row: %s", pod, len(visits), strings.Join(failures, ", "))
	}
}
