//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// The machine of the probe is cut off for 100 s: within 40 s the cluster is not Ready and says
// which pod is silent and where, then which members are on a machine that is lost. Another
// probe starts elsewhere, after the first has stopped to change nodes. When the machine is
// back, all is Ready within 20 s. Not parallel: it takes a machine from all tests.
func TestMachineOfTheProbeIsCutOff(t *testing.T) {
	if *soak == 0 {
		t.Skip("takes minutes, and a machine: run `make soak`, or give -soak=10m")
	}
	machines := harness.Machines(t)
	lost := machines[len(machines)-1]
	kubectl.Cleanup(t, "uncordon", lost.Name)
	kubectl.Must(t, "drain", lost.Name, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=2m")
	kubectl.Must(t, "wait", "--for=condition=Available", "deployment", "--all", "--all-namespaces", "--timeout=2m")
	kubectl.Must(t, "uncordon", lost.Name)
	c := harness.Start(t, harness.Namespace(t), "chat", 3, "27",
		"probe: {affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 100, preference: {matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: ["+lost.Name+"]}]}}]}}}")
	former, _, err := c.ProbeLease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if on := harness.MachineOf(t, c.Namespace, former); on != lost {
		t.Fatalf("the probe is on %s, not on %s", on.Name, lost.Name)
	}
	logged := lost.FollowLog(t, c.Namespace, former, "probe")

	back, begun := lost.CutOff(t), time.Now()
	notReady(t, c, 40*time.Second, v1alpha1.ReasonProbeNotReporting, "Its pod "+former+" is on machine "+lost.Name)
	t.Logf("not Ready after %s", time.Since(begun))
	notReady(t, c, 40*time.Second, v1alpha1.ReasonMachineNotReady, "is on machine "+lost.Name+", which is not Ready since")
	t.Logf("the machine is named after %s", time.Since(begun))
	var latter string
	await.Until(t, time.Until(begun.Add(time.Minute)), "another probe has taken over", func(ctx context.Context) (err error) {
		if latter, _, err = c.ProbeLease(ctx); err == nil && (latter == former || latter == "") {
			err = fmt.Errorf("the Lease is held by %q", latter)
		}
		return err
	})
	t.Logf("another probe took over after %s", time.Since(begun))
	if on := harness.MachineOf(t, c.Namespace, latter); on == lost {
		t.Errorf("the probe is on %s again", lost.Name)
	}
	time.Sleep(time.Until(begun.Add(100 * time.Second))) // The fault is one of 100 s.
	back()

	returned := time.Now()
	c.AwaitReady(t, 3)
	if took := time.Since(returned); took > 20*time.Second {
		t.Errorf("Ready %s after the machine was back", took)
	} else {
		t.Logf("Ready %s after the machine was back", took)
	}
	checkOneHealed(t, logged(), kubectl.Must(t, "logs", latter, "-n", c.Namespace))
}

// While the machine of the only manager is cut off, a manager on another machine reports the
// members that are lost with it.
func TestMachineOfTheManagerIsCutOff(t *testing.T) {
	if *soak == 0 {
		t.Skip("takes minutes, and a machine: run `make soak`, or give -soak=10m")
	}
	c := harness.Start(t, harness.Namespace(t), "chat", len(harness.Machines(t)), "27")
	lost := managersMachine(t)
	back, begun := lost.CutOff(t), time.Now()
	notReady(t, c, 90*time.Second, v1alpha1.ReasonMachineNotReady, "is on machine "+lost.Name+", which is not Ready since")
	t.Logf("reported after %s", time.Since(begun))
	if now := managersMachine(t); now == lost {
		t.Errorf("the manager is still on %s", lost.Name)
	}
	back()
	returned := time.Now()
	c.AwaitReady(t, len(harness.Machines(t)))
	t.Logf("Ready %s after the machine was back", time.Since(returned))
}

// A probe that hung is replaced while a node hangs: nobody takes what the former reported, that all is
// well, for the report of the latter, which has the Lease before it has looked at the nodes.
func TestProbeIsReplacedWhileANodeHangs(t *testing.T) {
	if *soak == 0 {
		t.Skip("takes a minute: run `make soak`, or give -soak=10m")
	}
	t.Parallel()
	c := harness.Start(t, harness.Namespace(t), "chat", 3, "27")
	kill, thaw := c.FreezeProbe(t), c.FreezeNode(t, 1)
	timeline, frozen := c.Timeline(t), time.Now()
	var silent time.Time
	await.Until(t, time.Minute, "the cluster is not Ready", func(context.Context) (err error) {
		silent, _, err = timeline.NotReady(frozen)
		return err
	})
	kill() // unless the kubelet has done so
	notReady(t, c, time.Minute, v1alpha1.ReasonHandshakeTimedOut, "Pod chat-1")
	if lapses := timeline.Lapses(silent, time.Now()); len(lapses) > 0 {
		t.Errorf("the cluster was Ready while chat-1 hung: %s", lapses)
	}
	thaw()
	c.AwaitReady(t, 3)
}

// managersMachine is the machine that the youngest manager was scheduled to.
func managersMachine(t *testing.T) harness.Machine {
	t.Helper()
	pods := strings.Fields(kubectl.Must(t, "get", "pods", "-n", "erlang-operator-system", "-l", "app.kubernetes.io/component=manager",
		"--sort-by=.metadata.creationTimestamp", "-o", "name"))
	return harness.MachineOf(t, "erlang-operator-system", strings.TrimPrefix(pods[len(pods)-1], "pod/"))
}

// notReady waits until Ready is False for a reason, with a message.
func notReady(t *testing.T, c harness.Cluster, within time.Duration, reason, says string) {
	t.Helper()
	await.Until(t, within, "Ready is False, "+reason, func(ctx context.Context) error {
		read, err := c.Read(ctx)
		if err != nil {
			return err
		}
		ready := meta.FindStatusCondition(read.Status.Conditions, v1alpha1.ConditionReady)
		if ready == nil {
			return errors.New("there is no condition Ready")
		}
		if ready.Status != metav1.ConditionFalse || ready.Reason != reason || !strings.Contains(ready.Message, says) {
			return fmt.Errorf("it is %s, %s: %s", ready.Status, ready.Reason, ready.Message)
		}
		return nil
	})
}

// checkOneHealed requires that the former probe stopped to change nodes before the latter
// began, and never began again.
func checkOneHealed(t *testing.T, former, latter string) {
	t.Helper()
	const acquired, stopped = "Lease acquired", "Nothing is changed in the nodes, because the Lease was not renewed in time"
	stops, begins := loggedAt(former, stopped), loggedAt(latter, acquired)
	if len(stops) == 0 || len(begins) == 0 {
		t.Fatalf("the former probe has not stopped, or the latter has not begun\nformer:\n%s\nlatter:\n%s", former, latter)
	}
	stop := stops[len(stops)-1] // A slow API server may have caused one before.
	t.Logf("the former probe stopped %s before the latter began", begins[0].Sub(stop))
	if !stop.Before(begins[0]) {
		t.Errorf("the latter began at %s, and the former stopped at %s", begins[0], stop)
	}
	for _, change := range append(loggedAt(former, "Link made"), loggedAt(former, acquired)...) {
		if change.After(stop) {
			t.Errorf("the former probe changed nodes at %s, and had stopped at %s:\n%s", change, stop, former)
		}
	}
}

// loggedAt are the times of a message in a log.
func loggedAt(log, message string) (times []time.Time) {
	for line := range strings.Lines(log) {
		_, object, _ := strings.Cut(line, "{")
		var entry struct {
			At  time.Time `json:"ts"`
			Msg string    `json:"msg"`
		}
		if json.Unmarshal([]byte("{"+object), &entry) == nil && entry.Msg == message {
			times = append(times, entry.At)
		}
	}
	return times
}
