package harness

import (
	"context"
	"crypto/rand"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// Machine is a machine of the Kubernetes of this host: a set of namespaces, which a process
// holds. Kubernetes calls it a node.
type Machine struct {
	Name   string
	holder int
}

// MachineNamed is the machine that Kubernetes knows by a name.
func MachineNamed(t testing.TB, name string) Machine {
	t.Helper()
	OneMachine(t)
	holders := Must(processes("sleep", "environ", "ERLANG_OPERATOR_DAEMON="+name+"/namespaces\x00"))(t)
	if len(holders) != 1 {
		t.Fatalf("%d processes of this host hold the namespaces of machine %s, want 1: run `make cluster-up`", len(holders), name)
	}
	return Machine{name, holders[0]}
}

// Command is a command that runs in the network namespace of the machine.
func (m Machine) Command(ctx context.Context, args ...string) *exec.Cmd {
	return inNetwork(ctx, m.holder, args...)
}

// inNetwork is a command that runs in the network namespace of a process.
func inNetwork(ctx context.Context, pid int, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"--target", strconv.Itoa(pid), "--net", "--"}, args...)...)
}

// Filter adds chains to the packet filter of the machine. It ends when the returned function
// is called, and with the test.
func (m Machine) Filter(t testing.TB, chains string) (end func()) {
	t.Helper()
	return filter(t, m.holder, chains)
}

// filter adds a table of these chains to the packet filter of the network namespace of a
// process. It ends when the returned function is called, and with the test, and with its
// process however that ends, because the table belongs to a process of nft that reads from
// this one.
func filter(t testing.TB, pid int, chains string) (end func()) {
	t.Helper()
	table := "test-" + rand.Text()
	nft := inNetwork(context.WithoutCancel(t.Context()), pid, "nft", "-i")
	var output strings.Builder
	nft.Stdout, nft.Stderr = &output, &output
	commands := Must(nft.StdinPipe())(t)
	if err := nft.Start(); err != nil {
		t.Fatalf("start nft: %v", err)
	}
	end = sync.OnceFunc(func() {
		_ = commands.Close()
		if err := nft.Wait(); err != nil {
			t.Errorf("nft in the network of process %d: %v\n%s", pid, err, output.String())
		}
	})
	t.Cleanup(end)
	if _, err := fmt.Fprintf(commands, "table inet %s { flags owner; %s }\n", table, strings.Join(strings.Fields(chains), " ")); err != nil {
		t.Fatalf("write to nft: %v", err)
	}
	await.Until(t, time.Minute, "packets are filtered", func(ctx context.Context) error {
		listed, err := inNetwork(ctx, pid, "nft", "list", "table", "inet", table).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, listed)
		}
		return err
	})
	return end
}

// CutOff drops every packet to and from the machine. Its pods reach each other, and nothing
// else.
func (m Machine) CutOff(t testing.TB) (end func()) {
	t.Helper()
	return m.Filter(t, `
		chain in { type filter hook prerouting priority raw; iifname "eth0" drop; };
		chain out { type filter hook postrouting priority raw; oifname "eth0" drop; };`)
}

// CutOffFrom drops every packet that the machine gets from another one. What it sends there
// arrives.
func (m Machine) CutOffFrom(t testing.TB, other Machine) (end func()) {
	t.Helper()
	link := strings.Fields(string(Must(other.Command(t.Context(), "ip", "-brief", "link", "show", "eth0").Output())(t)))
	return m.Filter(t, `chain in { type filter hook prerouting priority raw; iifname "eth0" ether saddr `+link[2]+` drop; };`)
}

// Lose loses that many of a hundred packets to the machine, and from it.
func (m Machine) Lose(t testing.TB, percent int) (end func()) {
	t.Helper()
	return m.Filter(t, fmt.Sprintf(`
		chain in { type filter hook prerouting priority raw; iifname "eth0" numgen random mod 100 < %[1]d drop; };
		chain out { type filter hook postrouting priority raw; oifname "eth0" numgen random mod 100 < %[1]d drop; };`, percent))
}

// FollowLog follows the log of the first start of a container on the machine, also while that
// is cut off, and after the pod is gone. The function that it returns is what was logged so far.
func (m Machine) FollowLog(t testing.TB, namespace, pod, container string) (logged func() string) {
	t.Helper()
	uid := kubectl.Must(t, "get", "pod", pod, "-n", namespace, "-o", "jsonpath={.metadata.uid}")
	file := fmt.Sprintf("/var/log/pods/%s_%s_%s/%s/0.log", namespace, pod, uid, container)
	tail := exec.CommandContext(t.Context(), "nsenter", "--target", strconv.Itoa(m.holder), "--mount", "--", "tail", "--lines=+1", "--follow", file)
	log := &logBuffer{}
	tail.Stdout = log
	if err := tail.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tail.Wait() }) // Its context has ended.
	return log.String
}

// logBuffer is written to while it is read.
type logBuffer struct {
	mutex sync.Mutex
	text  strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.text.String()
}
