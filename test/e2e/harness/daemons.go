package harness

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// MachineOf is the machine that runs a pod.
func MachineOf(t testing.TB, namespace, pod string) Machine {
	t.Helper()
	return MachineNamed(t, kubectl.Must(t, "get", "pod", pod, "-n", namespace, "-o", "jsonpath={.spec.nodeName}"))
}

// Machines are all of them.
func Machines(t testing.TB) (machines []Machine) {
	t.Helper()
	for _, name := range strings.Fields(kubectl.Must(t, "get", "nodes", "-o", "jsonpath={.items[*].metadata.name}")) {
		machines = append(machines, MachineNamed(t, name))
	}
	return machines
}

// Restart kills a daemon of the machine, kubelet or containerd, and starts it again as it was
// started before.
func (m Machine) Restart(t testing.TB, daemon string) {
	t.Helper()
	pids, err := processes(daemon, "environ", m.mark(daemon))
	if err != nil || len(pids) != 1 {
		t.Fatalf("%s has %d processes of %s, want 1: %v", m.Name, len(pids), daemon, err)
	}
	again, err := m.again(pids[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := signal(pids, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await.Until(t, 10*time.Second, fmt.Sprintf("%s of %s has ended", daemon, m.Name), func(context.Context) error {
		left, err := processes(daemon, "environ", m.mark(daemon))
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("processes %v", left)
		}
		return err
	})
	if err := again.Start(); err != nil {
		t.Fatalf("start %s of %s again: %v", daemon, m.Name, err)
	}
	go func() { _ = again.Wait() }() // It outlives this test.
}

// mark is in the environment of a daemon of the machine, and of its children.
func (m Machine) mark(daemon string) string {
	return "ERLANG_OPERATOR_DAEMON=" + m.Name + "/" + daemon + "\x00"
}

// again is the command that starts a process of the machine again.
func (m Machine) again(pid int) (*exec.Cmd, error) {
	directory := "/proc/" + strconv.Itoa(pid)
	arguments, err := nullTerminated(directory + "/cmdline")
	if err != nil {
		return nil, err
	}
	environment, err := nullTerminated(directory + "/environ")
	if err != nil {
		return nil, err
	}
	log, err := os.Readlink(directory + "/fd/1")
	if err != nil {
		return nil, err
	}
	output, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", arguments[0], err)
	}
	command := exec.Command("nsenter", slices.Concat([]string{"--target", strconv.Itoa(m.holder), "--mount", "--net", "--uts", "--"}, arguments)...)
	command.Dir, command.Env, command.Stdout, command.Stderr = "/", environment, output, output
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return command, nil
}

func nullTerminated(file string) ([]string, error) {
	content, err := os.ReadFile(file)
	return strings.Split(string(bytes.TrimSuffix(content, []byte{0})), "\x00"), err
}
