//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// machineFaults concern everything that runs on a machine, or all clusters.
var machineFaults = []randomFault{
	{name: "cut a machine off", lasts: 6 * time.Second, noticed: noticedMachine, make: func(x *faultRun) (func(), []int) {
		machine := x.machineWithoutManager()
		return machine.CutOff(x.t), x.membersOn(machine)
	}},
	{name: "cut the machine of the manager off", lasts: 6 * time.Second, make: func(x *faultRun) (func(), []int) {
		machine := x.machineWith(x.managers()[0])
		return machine.CutOff(x.t), x.membersOn(machine)
	}},
	{name: "cut two machines from each other, one way", lasts: 6 * time.Second, make: func(x *faultRun) (func(), []int) {
		machines := harness.Machines(x.t)
		x.random.Shuffle(len(machines), func(i, j int) { machines[i], machines[j] = machines[j], machines[i] })
		return machines[0].CutOffFrom(x.t, machines[1]), append(x.membersOn(machines[0]), x.membersOn(machines[1])...)
	}},
	{name: "lose 20 % of the packets of a machine", lasts: 6 * time.Second, make: func(x *faultRun) (func(), []int) {
		machine := x.machine()
		return machine.Lose(x.t, 20), x.membersOn(machine)
	}},
	{name: "delay a machine by 300 ms", lasts: 6 * time.Second, make: func(x *faultRun) (func(), []int) {
		machine := x.machine()
		return machine.Delay(x.t, 150*time.Millisecond), nil // there and back
	}},
	{name: "drain a machine", make: func(x *faultRun) (func(), []int) {
		machine := x.machine()
		members := x.membersOn(machine)
		drain := []string{"drain", machine.Name, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=3m",
			"--pod-selector=erlang-operator.dev/cluster=" + x.Name}
		kubectl.Cleanup(x.t, "uncordon", machine.Name)
		kubectl.Must(x.t, drain...)
		return func() { kubectl.Must(x.t, "uncordon", machine.Name) }, members
	}},
	{name: "kill the manager", make: func(x *faultRun) (func(), []int) {
		kubectl.Must(x.t, "delete", "pods", "-n", "erlang-operator-system", "-l", "app.kubernetes.io/component=manager", "--grace-period=0", "--force")
		return func() {}, nil
	}},
	{name: "restart a kubelet", make: func(x *faultRun) (func(), []int) {
		x.machine().Restart(x.t, "kubelet")
		return func() {}, nil
	}},
	{name: "restart a containerd", make: func(x *faultRun) (func(), []int) {
		x.machine().Restart(x.t, "containerd")
		return func() {}, nil
	}},
	{name: "stop DNS", lasts: 6 * time.Second, make: func(x *faultRun) (func(), []int) {
		return x.stop("kube-system", "coredns"), nil
	}},
	{name: "stop cert-manager", lasts: 6 * time.Second, make: func(x *faultRun) (func(), []int) {
		return x.stop("cert-manager", "cert-manager"), nil
	}},
}

func (x *faultRun) machine() harness.Machine {
	machines := harness.Machines(x.t)
	return machines[x.random.IntN(len(machines))]
}

// managers are the names of the machines that managers run on.
func (x *faultRun) managers() []string {
	return strings.Fields(kubectl.Must(x.t, "get", "pods", "-n", "erlang-operator-system", "-l", "app.kubernetes.io/component=manager",
		"-o", "jsonpath={.items[*].spec.nodeName}"))
}

func (x *faultRun) machineWith(name string) harness.Machine {
	machines := harness.Machines(x.t)
	return machines[slices.IndexFunc(machines, func(machine harness.Machine) bool { return machine.Name == name })]
}

// machineWithoutManager is one of a member whose loss somebody reports: a manager that is cut off
// with it cannot.
func (x *faultRun) machineWithoutManager() harness.Machine {
	managers := x.managers()
	for _, ordinal := range x.random.Perm(x.members) {
		if machine := harness.MachineOf(x.t, x.Namespace, x.Pod(ordinal)); !slices.Contains(managers, machine.Name) {
			return machine
		}
	}
	x.t.Fatalf("all members run beside managers, on %v", managers)
	return harness.Machine{}
}

// membersOn are the members that run on a machine.
func (x *faultRun) membersOn(machine harness.Machine) (ordinals []int) {
	pods := kubectl.Must(x.t, "get", "pods", "-n", x.Namespace, "--field-selector=spec.nodeName="+machine.Name, "-o", "name")
	for ordinal := range x.members {
		if strings.Contains(pods+"\n", "pod/"+x.Pod(ordinal)+"\n") {
			ordinals = append(ordinals, ordinal)
		}
	}
	return ordinals
}

// stop ends the pods of a Deployment, and returns what starts them again.
func (x *faultRun) stop(namespace, deployment string) (start func()) {
	scale := func(replicas int) []string {
		return []string{"scale", "deployment", deployment, "-n", namespace, fmt.Sprintf("--replicas=%d", replicas)}
	}
	before := 0
	if _, err := fmt.Sscan(kubectl.Must(x.t, "get", "deployment", deployment, "-n", namespace, "-o", "jsonpath={.spec.replicas}"), &before); err != nil {
		x.t.Fatal(err)
	}
	kubectl.Cleanup(x.t, scale(before)...)
	kubectl.Must(x.t, scale(0)...)
	await.Until(x.t, time.Minute, deployment+" has ended", func(ctx context.Context) error {
		replicas, err := kubectl.Run(ctx, "get", "deployment", deployment, "-n", namespace, "-o", "jsonpath={.status.replicas}")
		if err == nil && replicas != "" && replicas != "0" {
			err = fmt.Errorf("%s pods are left", replicas)
		}
		return err
	})
	return func() { kubectl.Must(x.t, scale(before)...) }
}
