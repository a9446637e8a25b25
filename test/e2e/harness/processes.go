package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
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
	if err == nil {
		err = signal(found, syscall.SIGKILL)
	}
	return len(found), err
}

func signal(pids []int, signal syscall.Signal) error {
	for _, pid := range pids {
		if err := syscall.Kill(pid, signal); err != nil {
			return fmt.Errorf("signal %s to process %d: %w", signal, pid, err)
		}
	}
	return nil
}

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
