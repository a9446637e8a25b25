package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Every daemon has these variables in its environment, and so have its children, in
// particular containerd's shims, which outlive containerd. So there are no pid files,
// which could be out of date.
const (
	clusterMark = "ERLANG_OPERATOR_CLUSTER" // the checkout
	daemonMark  = "ERLANG_OPERATOR_DAEMON"  // the daemon's name
	startMark   = "ERLANG_OPERATOR_START"   // the fingerprint of its start
)

// A daemon is a program that runs as long as the cluster does.
type daemon struct {
	name string // such as etcd, or worker-1/kubelet
	args []string
	// within is the process whose namespaces the daemon runs in; 0 means the host's.
	within int
}

// fingerprint returns a digest of what a start of the daemon depends on: the arguments,
// the program's version, and the content of its configuration.
func (d daemon) fingerprint() string {
	program, err := filepath.EvalSymlinks(d.args[0])
	all := fmt.Sprintln(program, err, d.args)
	for _, arg := range d.args {
		if file, ok := strings.CutPrefix(arg, "--config="); ok {
			content, err := os.ReadFile(file)
			all += fmt.Sprintln(string(content), err)
		}
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(all)))
}

// ensure starts the daemon, or restarts it if its fingerprint has changed.
func (c *cluster) ensure(ctx context.Context, d daemon) error {
	if running := c.find(d.name, d.args[0]); running != nil {
		if running.mark(startMark) == d.fingerprint() {
			return nil
		}
		say("        restarting %s, whose version or settings have changed", d.name)
		if err := kill(ctx, func() processList { return matching(running.is) }); err != nil {
			return err
		}
	}
	return c.start(d)
}

func (c *cluster) start(d daemon) error {
	log, err := openLog(c.logFile(d.name))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	args := d.args
	if d.within != 0 {
		args = append(enter(d.within), args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = []string{
		"PATH=" + c.binDir() + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		clusterMark + "=" + c.checkout,
		daemonMark + "=" + d.name,
		startMark + "=" + d.fingerprint(),
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", d.name, err)
	}
	c.started[d.name] = ended(cmd)
	return nil
}

// ended returns a function that returns how a started program has ended, or nil, without
// waiting. During an exec a process has no environment to be recognized by, so children
// of this process are waited for instead.
func ended(cmd *exec.Cmd) func() error {
	end := make(chan error, 1)
	go func() {
		_ = cmd.Wait() // its result is in the state
		end <- fmt.Errorf("it has ended: %s", cmd.ProcessState)
		close(end)
	}()
	return func() error {
		select {
		case err, ok := <-end:
			if !ok {
				return errors.New("it has ended")
			}
			return err
		default:
			return nil
		}
	}
}

// enter returns the command prefix that runs a program in a node's namespaces. "ip netns
// exec" would mount a new /sys without cgroups.
func enter(pid int) []string {
	return []string{"nsenter", "--target", strconv.Itoa(pid), "--mount", "--net", "--uts", "--"}
}

func openLog(file string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}

// marked returns the running processes with the cluster's mark.
func (c *cluster) marked() processList {
	return matching(func(p process) bool { return p.mark(clusterMark) == c.checkout })
}

// find returns the process of a daemon: the one with its mark that runs its program,
// because children inherit the mark.
func (c *cluster) find(name, program string) *process {
	for _, p := range processes() {
		if p.mark(clusterMark) == c.checkout && p.mark(daemonMark) == name && p.program() == filepath.Base(program) {
			return &p
		}
	}
	return nil
}

// startLimit is for a slow machine that does other things, too. What ends is reported at once.
const startLimit = 5 * time.Minute

// awaitDaemon waits until observe returns nil. It fails as soon as the daemon ends.
func (c *cluster) awaitDaemon(ctx context.Context, d daemon, limit time.Duration, observe func(context.Context) error) error {
	return await(ctx, d.name, limit, c.logFile(d.name), func(ctx context.Context) error {
		err := observe(ctx)
		if err == nil {
			return nil
		}
		if ended, ok := c.started[d.name]; ok {
			if end := ended(); end != nil {
				return permanentError{end}
			}
		}
		return err
	})
}

// A process is a directory in /proc.
type process struct{ pid int }

type processList []process

func processes() processList {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var all processList
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			all = append(all, process{pid})
		}
	}
	return all
}

func (p process) is(other process) bool { return p == other }

func (p process) file(name string) string {
	return filepath.Join("/proc", strconv.Itoa(p.pid), name)
}

// mark returns the value of a variable in the process's initial environment.
func (p process) mark(name string) string {
	environ, _ := os.ReadFile(p.file("environ"))
	for entry := range strings.SplitSeq(string(environ), "\x00") {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// program returns the base name of the executable, even if it has been deleted.
func (p process) program() string {
	exe, _ := os.Readlink(p.file("exe"))
	return filepath.Base(strings.TrimSuffix(exe, " (deleted)"))
}

// isBelow reports whether the process is below a cgroup, as the processes of containers
// are.
func (p process) isBelow(cgroup string) bool {
	membership, _ := os.ReadFile(p.file("cgroup"))
	for line := range strings.Lines(string(membership)) {
		if strings.Contains(line, ":"+cgroup+"/") {
			return true
		}
	}
	return false
}

// isAlive reports whether the process is running. A zombie is not: it cannot be killed
// and has no resources.
func (p process) isAlive() bool {
	stat, err := os.ReadFile(p.file("stat"))
	if err != nil {
		return false
	}
	_, afterName, _ := strings.Cut(string(stat), ") ")
	return afterName != "" && afterName[0] != 'Z' && afterName[0] != 'X'
}

// matching returns the running processes for which is returns true.
func matching(is func(process) bool) processList {
	return slices.DeleteFunc(processes(), func(p process) bool { return !is(p) || !p.isAlive() })
}

// kill kills the processes that find returns until it returns none: a process may start
// another one before it ends.
func kill(ctx context.Context, find func() processList) error {
	return await(ctx, "end processes", 2*time.Minute, "", func(context.Context) error {
		remaining := find()
		for _, p := range remaining {
			if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return permanentError{fmt.Errorf("end process %d: %w", p.pid, err)}
			}
		}
		if len(remaining) > 0 {
			return fmt.Errorf("still running: %v", remaining)
		}
		return nil
	})
}
