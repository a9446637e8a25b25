package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// processes are the IDs of the processes of a name that have a text in a file of theirs in
// /proc. The Kubernetes of this machine runs as processes of this machine.
func processes(name, file, text string) ([]int, error) {
	directories, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var found []int
	for _, directory := range directories {
		comm, _ := os.ReadFile(filepath.Join(directory, "comm"))
		content, _ := os.ReadFile(filepath.Join(directory, file)) // A process that has ended has none.
		if strings.TrimSpace(string(comm)) != name || !strings.Contains(string(content), text) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(directory))
		if err != nil {
			return nil, err
		}
		found = append(found, pid)
	}
	return found, nil
}

// KillProcesses kills the processes of a name that have a text in a file of theirs in
// /proc, and returns how many there were.
func KillProcesses(name, file, text string) (killed int, err error) {
	found, err := processes(name, file, text)
	for _, pid := range found {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return killed, fmt.Errorf("kill %s, process %d: %w", name, pid, err)
		}
		killed++
	}
	return killed, err
}

// RestartKubelets kills the kubelets of the Kubernetes of this checkout, which its
// daemons have in their environment, and starts them again.
func RestartKubelets(t testing.TB) {
	t.Helper()
	checkout, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	killed, err := KillProcesses("kubelet", "environ", "ERLANG_OPERATOR_CLUSTER="+checkout+"\x00")
	if err != nil {
		t.Fatal(err)
	}
	if killed == 0 {
		t.Fatalf("no kubelet of %s runs on this machine: run `make cluster-up`", checkout)
	}
	up := exec.CommandContext(t.Context(), "go", "run", "-C", filepath.Join(checkout, "hack"), "./cluster", "up")
	if output, err := up.CombinedOutput(); err != nil {
		t.Fatalf("start the kubelets again: %v\n%s", err, output)
	}
}
