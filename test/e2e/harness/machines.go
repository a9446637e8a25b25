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
	holders := Must(processes("sleep", "environ", "ERLANG_OPERATOR_DAEMON="+name+"/namespaces\x00"))(t)
	if len(holders) != 1 {
		t.Fatalf("%d processes of this host hold the namespaces of machine %s, want 1: run `make cluster-up`", len(holders), name)
	}
	return Machine{name, holders[0]}
}

// Command is a command that runs in the network namespace of the machine.
func (m Machine) Command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"--target", strconv.Itoa(m.holder), "--net", "--"}, args...)...)
}

// Filter adds a table of these chains to the packet filter of the machine. It ends when the
// returned function is called, and with the test, and with its process however that ends,
// because the table belongs to a process of nft that reads from this one.
func (m Machine) Filter(t testing.TB, chains string) (end func()) {
	t.Helper()
	table := "test-" + rand.Text()
	nft := m.Command(context.WithoutCancel(t.Context()), "nft", "-i")
	var output strings.Builder
	nft.Stdout, nft.Stderr = &output, &output
	commands := Must(nft.StdinPipe())(t)
	if err := nft.Start(); err != nil {
		t.Fatalf("start nft: %v", err)
	}
	end = sync.OnceFunc(func() {
		_ = commands.Close()
		if err := nft.Wait(); err != nil {
			t.Errorf("nft in machine %s: %v\n%s", m.Name, err, output.String())
		}
	})
	t.Cleanup(end)
	if _, err := fmt.Fprintf(commands, "table inet %s { flags owner; %s }\n", table, strings.Join(strings.Fields(chains), " ")); err != nil {
		t.Fatalf("write to nft: %v", err)
	}
	await.Until(t, 5*time.Second, "packets are filtered", func(ctx context.Context) error {
		listed, err := m.Command(ctx, "nft", "list", "table", "inet", table).CombinedOutput()
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
