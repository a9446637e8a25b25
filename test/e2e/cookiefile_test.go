//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// While the cookie rotates, commands that are started beside a node get into it, but for
// those that are under way while its file and its cookie change: for 3 s at most, as in a soak, and
// twice as long on a machine that runs other tests, too.
func TestVisitorsDuringRotation(t *testing.T) {
	t.Parallel()
	const members = 3
	c := harness.StartMixed(t, "chat", members)
	pods := harness.Must(c.Restarts(t.Context(), members))(t)
	commands, connections := c.StartVisitors(t, members, harness.Commands), c.StartVisitors(t, members, harness.Connections)
	for rotation := range 3 {
		c.RotateCookie(t, members, fmt.Sprint(rotation))
		commands.AwaitAnother(t, members)
	}
	limit := 6 * time.Second
	if *soak > 0 {
		limit = 3 * time.Second
	}
	commands.CheckFailures(t, limit)
	connections.CheckFailures(t, limit)
	c.CheckRestarts(t, members, pods)
}

// strictProbes call the node by a BEAM of their own, and forgive little: one that fails for
// 3 s makes the pod unready, one that fails twice in a row kills it. That a BEAM starts slowly is
// no failure.
const strictProbes = `        readinessProbe:
          periodSeconds: 1
          timeoutSeconds: 60
          exec: {command: [erl, -noinput, -eval, 'pong = net_adm:ping(list_to_atom(os:getenv("ERLANG_NODE"))), halt().']}
        livenessProbe:
          initialDelaySeconds: 20
          periodSeconds: 5
          timeoutSeconds: 60
          failureThreshold: 2
          exec: {command: [erl, -noinput, -eval, 'pong = net_adm:ping(list_to_atom(os:getenv("ERLANG_NODE"))), halt().']}
`

// Members with such probes are started, rotated and rolled: no container is restarted, and
// never more than one pod is not Ready. A soak has more of them, and five rotations.
func TestStrictProbes(t *testing.T) {
	members, rotations := 3, 2
	if *soak > 0 {
		members, rotations = 6, 5
	}
	c := harness.Cluster{Namespace: harness.Namespace(t), Name: "chat"}
	kubectl.MustApply(t, harness.Manifest(c.Namespace, c.Name, members, "27")+strictProbes)
	c.AwaitReady(t, members)
	pods := harness.Must(c.Restarts(t.Context(), members))(t)
	checkUnready := c.WatchUnready(t, members)
	// A probe that is under way during a rotation may fail, and the next must not.
	pace := time.NewTicker(11 * time.Second) // more than two periods of livenessProbe
	defer pace.Stop()
	for rotation := range rotations {
		c.RotateCookie(t, members, fmt.Sprint(rotation))
		<-pace.C
	}
	c.AwaitReady(t, members)
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

// A BEAM that is started beside the container's own process and takes the node's name is not
// verified, and opens no readiness gate. With shareProcessNamespace neither, and there the
// node is still seen to be the node.
func TestNotTheNode(t *testing.T) {
	t.Parallel()
	for name, shared := range map[string]string{"own": "false", "shared": "true"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := harness.Namespace(t)
			manifest := func(name, command string) string {
				return strings.NewReplacer("      containers:", "      shareProcessNamespace: "+shared+"\n      containers:", "[erl, -noinput]", command).
					Replace(harness.Manifest(ns, name, 1, "27"))
			}
			node, absent := harness.Cluster{Namespace: ns, Name: "node"}, harness.Cluster{Namespace: ns, Name: "absent"}
			kubectl.MustApply(t, manifest(node.Name, `[sh, -c, "erl -noinput; exit 1"]`))
			kubectl.MustApply(t, manifest(absent.Name, "[sleep, infinity]"))
			awaitRunning(t, absent, 0)
			beside := exec.CommandContext(t.Context(), "kubectl", "exec", "-n", ns, absent.Pod(0), "--",
				"timeout", "600", "/run/erlang-operator/bin/node", "erl", "-noinput")
			if err := beside.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = beside.Wait() }) // The end of the test ends it.
			absent.AwaitCondition(t, v1alpha1.ConditionMeshConnected, metav1.ConditionFalse, v1alpha1.ReasonNotTheNode, "beside the container's own process")
			if gate := kubectl.Must(t, "get", "pod", absent.Pod(0), "-n", ns, "-o", `jsonpath={.status.conditions[?(@.type=="`+v1alpha1.ReadinessGate+`")].status}`); gate == "True" {
				t.Error("the readiness gate is open")
			}
			node.AwaitReady(t, 1)
		})
	}
}

// awaitRunning waits until the containers of a member run.
func awaitRunning(t *testing.T, c harness.Cluster, ordinal int) {
	t.Helper()
	await.Until(t, 2*time.Minute, c.Pod(ordinal)+" runs", func(ctx context.Context) error {
		phase, err := kubectl.Run(ctx, "get", "pod", c.Pod(ordinal), "-n", c.Namespace, "-o", "jsonpath={.status.phase}")
		if err == nil && phase != "Running" {
			err = fmt.Errorf("it is %s", phase)
		}
		return err
	})
}
