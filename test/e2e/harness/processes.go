package harness

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
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
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) { // It has ended.
			return fmt.Errorf("signal %s to process %d: %w", signal, pid, err)
		}
	}
	return nil
}
