//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// While the cookie rotates, commands that are started beside a node get into it, but for
// those that are under way while its file and its cookie change: for 3 s at most.
func TestVisitorsDuringRotation(t *testing.T) {
	t.Parallel()
	const members = 3
	c := harness.StartMixed(t, "chat", members)
	pods := harness.Must(c.Restarts(t.Context(), members))(t)
	visitors := c.StartVisitors(t, members)
	for rotation := range 3 {
		c.RotateCookie(t, members, fmt.Sprint(rotation))
		visitors.AwaitAnother(t, members)
	}
	visitors.CheckFailures(t, 3*time.Second)
	c.CheckRestarts(t, members, pods)
}

// strictProbes call the node by a BEAM of their own, and forgive little: one that fails for
// 3 s makes the pod unready, one that fails twice in a row kills it.
const strictProbes = `        readinessProbe:
          periodSeconds: 1
          timeoutSeconds: 10
          exec: {command: [erl, -noinput, -eval, 'pong = net_adm:ping(list_to_atom(os:getenv("ERLANG_NODE"))), halt().']}
        livenessProbe:
          initialDelaySeconds: 10
          periodSeconds: 5
          timeoutSeconds: 10
          failureThreshold: 2
          exec: {command: [erl, -noinput, -eval, 'pong = net_adm:ping(list_to_atom(os:getenv("ERLANG_NODE"))), halt().']}
`

// Members with such probes are started, rotated five times and rolled: no container is
// restarted, and never more than one pod is not Ready.
func TestStrictProbes(t *testing.T) {
	const members = 6
	c := harness.Cluster{Namespace: harness.Namespace(t), Name: "chat"}
	kubectl.MustApply(t, harness.Manifest(c.Namespace, c.Name, members, "27")+strictProbes)
	c.AwaitReady(t, members)
	pods := harness.Must(c.Restarts(t.Context(), members))(t)
	checkUnready := c.WatchUnready(t, members)
	for rotation := range 5 {
		c.RotateCookie(t, members, fmt.Sprint(rotation))
	}
	c.CheckRestarts(t, members, pods)
	c.Patch(t, `{"template":{"metadata":{"annotations":{"example.com/rolled":"true"}}}}`)
	c.AwaitReady(t, members)
	checkUnready()
	for line := range strings.Lines(harness.Must(c.Restarts(t.Context(), members))(t)) {
		if !strings.HasSuffix(line, " 0\n") {
			t.Errorf("restarted: %s", line)
		}
	}
}
