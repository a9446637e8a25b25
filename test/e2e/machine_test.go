//go:build e2e

package e2e

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

// killProcesses kills the processes of a name that have a text in a file of theirs in
// /proc, and says how many there were. Those of the Kubernetes on this machine are
// processes of this machine.
func killProcesses(name, file, text string) (killed int, err error) {
	directories, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	for _, directory := range directories {
		comm, _ := os.ReadFile(filepath.Join(directory, "comm"))
		content, _ := os.ReadFile(filepath.Join(directory, file)) // A process that has ended has none.
		if strings.TrimSpace(string(comm)) != name || !strings.Contains(string(content), text) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(directory))
		if err != nil {
			return killed, err
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return killed, fmt.Errorf("kill %s, process %d: %w", name, pid, err)
		}
		killed++
	}
	return killed, nil
}

// restartKubelets kills the kubelets of the Kubernetes on this machine, which is known
// by what its daemons have in their environment, and starts them again.
func restartKubelets(t *testing.T) {
	t.Helper()
	checkout, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	killed, err := killProcesses("kubelet", "environ", "ERLANG_OPERATOR_CLUSTER="+checkout+"\x00")
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
