package verify

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/erlang-operator/erlang-operator/erldist"
)

// A container has one process of its own, with all that it starts. What exec probes, hooks
// and kubectl exec start comes from outside, later: its first process has no parent that it
// can see either. Any of them may have taken the node's name before the node did.

// A process as proc_pid_stat(5) describes it.
type process struct {
	pid, parent int
	start       uint64 // after the boot of the machine
}

// besideError is about a BEAM that has the node's name and was started beside it.
type besideError struct{}

func (besideError) Error() string { return "the BEAM was started beside the container's own process" }

// checkProcess returns an error for a BEAM that the container's own process has not started.
// What cannot be read proves nothing.
func (s *Session) checkProcess(ctx context.Context, beam process) error {
	ctx, cancel := context.WithTimeout(ctx, s.limits.Call)
	defer cancel()

	first, known, err := s.firstOf(ctx, beam)
	if err != nil || !known || first.pid == 1 {
		return err
	}
	processes, err := s.processes(ctx)
	if err != nil {
		return err
	}
	earlier := []string{cgroupFile(first)}
	for _, other := range processes {
		if other.parent == 0 && other.start < first.start {
			earlier = append(earlier, cgroupFile(other))
		}
	}
	// With shareProcessNamespace the containers see each other's processes.
	groups, err := s.readFiles(ctx, earlier)
	if err == nil && groups[0] != "" && slices.Contains(groups[1:], groups[0]) {
		return besideError{}
	}
	return err
}

// mostAncestors is more than a BEAM has, unless the answers are made up.
const mostAncestors = 32

// firstOf is the oldest ancestor that the process can see.
func (s *Session) firstOf(ctx context.Context, p process) (first process, known bool, err error) {
	for range mostAncestors {
		if p.parent == 0 {
			return p, true, nil
		}
		files, err := s.readFiles(ctx, []string{statFile(strconv.Itoa(p.parent))})
		if err != nil {
			return p, false, err
		}
		if p, known = parseProcess(files[0]); !known {
			return p, false, nil
		}
	}
	return p, false, nil
}

// mostProcesses are as many as fit into one answer. The own processes of containers are
// among the first.
const mostProcesses = 1000

// processes are those that the BEAM can see.
func (s *Session) processes(ctx context.Context) ([]process, error) {
	answer, err := s.conn.Call(ctx, "file", "list_dir", erldist.String("/proc"))
	if err != nil {
		return nil, err
	}
	var pids []int
	if result, ok := answer.(erldist.Tuple); ok && len(result) == 2 {
		names, _ := result[1].(erldist.List)
		for _, name := range names {
			text, _ := erldist.Text(name)
			if pid, err := strconv.Atoi(text); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	slices.Sort(pids)
	var paths []string
	for _, pid := range pids[:min(len(pids), mostProcesses)] {
		paths = append(paths, statFile(strconv.Itoa(pid)))
	}
	files, err := s.readFiles(ctx, paths)
	var processes []process
	for _, file := range files {
		if p, ok := parseProcess(file); ok {
			processes = append(processes, p)
		}
	}
	return processes, err
}

// readFiles reads files where the node runs; one that cannot be read is empty.
func (s *Session) readFiles(ctx context.Context, paths []string) ([]string, error) {
	calls := make([]erldist.MFA, len(paths))
	for i, path := range paths {
		calls[i] = readFile(path)
	}
	answers, err := s.conn.CallAll(ctx, calls...)
	files := make([]string, len(answers))
	for i, answer := range answers {
		files[i] = fileContent(answer)
	}
	return files, err
}

func readFile(path string) erldist.MFA {
	return erldist.MFA{Module: "file", Function: "read_file", Args: []erldist.Term{erldist.String(path)}}
}

// fileContent is what file:read_file/1 answered; empty if it could not.
func fileContent(answer erldist.Term) string {
	if result, ok := answer.(erldist.Tuple); ok && len(result) == 2 {
		content, _ := result[1].(erldist.Binary)
		return string(content)
	}
	return ""
}

func statFile(pid string) string { return "/proc/" + pid + "/stat" }

func cgroupFile(p process) string { return fmt.Sprintf("/proc/%d/cgroup", p.pid) }

// parseProcess reads proc_pid_stat(5): the command, in parentheses, may contain anything.
func parseProcess(stat string) (p process, ok bool) {
	pid, _, _ := strings.Cut(stat, " ")
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return process{}, false
	}
	_, err := fmt.Sscan(strings.Join([]string{pid, fields[1], fields[19]}, " "), &p.pid, &p.parent, &p.start)
	return p, err == nil
}
