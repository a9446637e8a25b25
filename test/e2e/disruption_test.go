//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/test/await"

	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// A drain evicts the members of a machine one by one: the next when the one before is linked
// to all others on another machine.
func TestDrain(t *testing.T) {
	t.Parallel()
	const members = 4 // on three machines
	c := harness.Start(t, harness.Namespace(t), "drained", members, "27")
	on := map[string]int{}
	machine := ""
	for ordinal := range members {
		of := harness.MachineOf(t, c.Namespace, c.Pod(ordinal)).Name
		if on[of]++; on[of] > on[machine] {
			machine = of
		}
	}
	t.Logf("members on machines: %v", on)
	if on[machine] < 2 {
		t.Fatalf("no machine has two members: %v", on)
	}
	stop := watchAway(t, c, members, 1)
	kubectl.Cleanup(t, "uncordon", machine)
	// Only these pods: what else runs there belongs to other tests.
	t.Log(kubectl.Must(t, "drain", machine, "--pod-selector=erlang-operator.dev/cluster=drained,erlang-operator.dev/component=node", "--timeout=6m"))
	c.AwaitReady(t, members)
	stop()
	for ordinal := range members {
		if of := harness.MachineOf(t, c.Namespace, c.Pod(ordinal)).Name; of == machine {
			t.Errorf("%s is on the machine that was drained", c.Pod(ordinal))
		}
	}
}

// A machine that does not come back: the status names it and the taint, with which its
// member starts on another one. When the machine is back after all, the member that still ran
// there ends, and the mesh stays whole. Not parallel: it takes a machine from all tests.
func TestMachineDies(t *testing.T) {
	if *soak == 0 {
		t.Skip("takes minutes, and a machine: run `make soak`, or give -soak=10m")
	}
	machines := harness.Machines(t)
	lost, other := machines[0], machines[1]
	kubectl.Cleanup(t, "uncordon", lost.Name)
	kubectl.Must(t, "drain", lost.Name, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=2m")
	kubectl.Must(t, "uncordon", lost.Name)
	kubectl.Must(t, "wait", "--for=condition=Available", "deployment", "--all", "--all-namespaces", "--timeout=2m")

	c := harness.Cluster{Namespace: harness.Namespace(t), Name: "chat"}
	kubectl.MustApply(t, strings.Replace(harness.Manifest(c.Namespace, c.Name, 3, "27", "probe: {nodeSelector: {kubernetes.io/hostname: "+other.Name+"}}"),
		"    spec:\n", "    spec:\n      tolerations: [{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 5}]\n", 1))
	c.AwaitReady(t, 3)
	ordinal := slices.IndexFunc([]int{0, 1, 2}, func(ordinal int) bool { return harness.MachineOf(t, c.Namespace, c.Pod(ordinal)) == lost })
	if ordinal < 0 {
		t.Fatalf("no member is on %s: they were not spread", lost.Name)
	}

	former := harness.Must(c.PodUID(t.Context(), ordinal))(t)
	back := lost.CutOff(t)
	since := time.Now()
	taint := "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"
	await.Until(t, 4*time.Minute, "the status names the machine and the taint", func(ctx context.Context) error {
		read, err := c.Read(ctx)
		if err != nil {
			return err
		}
		ready := meta.FindStatusCondition(read.Status.Conditions, v1alpha1.ConditionNodesReady)
		if !strings.Contains(ready.Message, fmt.Sprintf("`kubectl taint node %s %s`", lost.Name, taint)) {
			return fmt.Errorf("it is %s, %s: %s", ready.Status, ready.Reason, ready.Message)
		}
		t.Logf("after %s: %s %s", time.Since(since), ready.Reason, ready.Message)
		return nil
	})
	kubectl.Cleanup(t, "taint", "node", lost.Name, "node.kubernetes.io/out-of-service-")
	kubectl.Must(t, "taint", "node", lost.Name, taint)
	since = time.Now()
	c.AwaitReady(t, 3)
	t.Logf("Ready %s after the taint", time.Since(since))
	if now := harness.MachineOf(t, c.Namespace, c.Pod(ordinal)); now == lost {
		t.Errorf("%s is on %s", c.Pod(ordinal), lost.Name)
	}

	pods := harness.Must(c.Restarts(t.Context(), 3))(t)
	if harness.HasEnded(former) == nil {
		t.Error("the former member has ended before its kubelet could end it")
	}
	back()
	kubectl.Must(t, "wait", "--for=condition=Ready", "node", lost.Name, "--timeout=2m")
	await.Until(t, time.Minute, "the former member has ended", func(context.Context) error { return harness.HasEnded(former) })
	c.AwaitReady(t, 3)
	c.CheckRestarts(t, 3, pods)
}
