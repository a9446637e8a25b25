package harness

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// beams are the virtual machines that run in a member's pod.
func (c Cluster) beams(ctx context.Context, ordinal int) ([]int, error) {
	uid, err := c.PodUID(ctx, ordinal)
	if err != nil {
		return nil, err
	}
	pids, err := processes("beam.smp", "cgroup", "pod"+uid)
	if err == nil && len(pids) == 0 {
		err = fmt.Errorf("no BEAM of %s runs on this machine", c.Pod(ordinal))
	}
	return pids, err
}

// HasEnded returns an error as long as a BEAM of a pod runs, whatever Kubernetes knows of it.
func HasEnded(uid string) error {
	pids, err := processes("beam.smp", "cgroup", "pod"+uid)
	if err == nil && len(pids) > 0 {
		err = fmt.Errorf("processes %v run", pids)
	}
	return err
}

// KillNode kills the BEAM of a member.
func (c Cluster) KillNode(t testing.TB, ordinal int) {
	t.Helper()
	if err := signal(Must(c.beams(t.Context(), ordinal))(t), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// FreezeNode stops the BEAM of a member: connections stay open, and nothing answers.
func (c Cluster) FreezeNode(t testing.TB, ordinal int) (thaw func()) {
	t.Helper()
	pids := Must(c.beams(t.Context(), ordinal))(t)
	if err := signal(pids, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	thaw = sync.OnceFunc(func() { _ = signal(pids, syscall.SIGCONT) }) // It may have been killed meanwhile.
	t.Cleanup(thaw)
	return thaw
}

// FreezeProbe stops the probe's process, until it is killed. The kubelet starts it again, in the same pod.
func (c Cluster) FreezeProbe(t testing.TB) (kill func()) {
	t.Helper()
	pod := "pod" + kubectl.Must(t, "get", "pods", "-n", c.Namespace, "-l", v1alpha1.Group+"/component=probe", "-o", "jsonpath={.items[0].metadata.uid}")
	pids := Must(processes("erlang-operator", "cgroup", pod))(t)
	if len(pids) != 1 {
		t.Fatalf("processes of the probe: %v", pids)
	}
	if err := signal(pids, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() { _, _ = KillProcesses("erlang-operator", "cgroup", pod) }) // The kubelet may have done so.
	t.Cleanup(kill)
	return kill
}

// filterMember adds chains to the packet filter of a member's pod.
func (c Cluster) filterMember(t testing.TB, ordinal int, chains string) (end func()) {
	t.Helper()
	beams := Must(c.beams(t.Context(), ordinal))(t)
	return filter(t, beams[0], chains)
}

// CutOff drops every packet to and from a member.
func (c Cluster) CutOff(t testing.TB, ordinal int) (end func()) {
	t.Helper()
	return c.filterMember(t, ordinal, `
		chain in { type filter hook prerouting priority raw; iifname "eth0" drop; };
		chain out { type filter hook postrouting priority raw; oifname "eth0" drop; };`)
}

// LosePackets loses that many of a hundred packets to a member, and from it.
func (c Cluster) LosePackets(t testing.TB, ordinal, percent int) (end func()) {
	t.Helper()
	return c.filterMember(t, ordinal, fmt.Sprintf(`
		chain in { type filter hook prerouting priority raw; iifname "eth0" numgen random mod 100 < %[1]d drop; };
		chain out { type filter hook postrouting priority raw; oifname "eth0" numgen random mod 100 < %[1]d drop; };`, percent))
}

// CutOffFrom drops what a member gets from another one. What it sends there arrives.
func (c Cluster) CutOffFrom(t testing.TB, ordinal, other int) (end func()) {
	t.Helper()
	var chains strings.Builder
	for _, ip := range strings.Fields(kubectl.Must(t, "get", "pod", c.Pod(other), "-n", c.Namespace, "-o", "jsonpath={.status.podIPs[*].ip}")) {
		family := "ip"
		if strings.Contains(ip, ":") {
			family = "ip6"
		}
		fmt.Fprintf(&chains, "%s saddr %s drop; ", family, ip)
	}
	return c.filterMember(t, ordinal, "chain in { type filter hook input priority filter; "+chains.String()+"};")
}

// DropOutgoing drops what a member sends to a port of others.
func (c Cluster) DropOutgoing(t testing.TB, ordinal, port int) (end func()) {
	t.Helper()
	return c.filterMember(t, ordinal, fmt.Sprintf("chain out { type filter hook output priority filter; tcp dport %d drop; };", port))
}

// Dialled is a member that has opened a connection to a port of another one: of a link, that of
// the node that made it.
func (c Cluster) Dialled(t testing.TB, members, port int) (ordinal int) {
	t.Helper()
	established := fmt.Sprintf(":%04X 01 ", port) // the remote port and the state, see proc_pid_net(5)
	for ordinal := range members {
		for _, pid := range Must(c.beams(t.Context(), ordinal))(t) {
			if table := Must(os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", pid)))(t); strings.Contains(string(table), established) {
				return ordinal
			}
		}
	}
	t.Fatalf("no member has a connection to port %d of another", port)
	return 0
}
