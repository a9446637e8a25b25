package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// here is a cluster other than the machine's. Its processes are those with its mark: by
// cgroup it would find the machine's pods.
func here(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{checkout: t.TempDir(), started: map[string]func() error{}}
	t.Cleanup(func() {
		if err := kill(context.Background(), c.marked); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestADaemonIsFoundByItsMark(t *testing.T) {
	c := here(t)
	d := daemon{name: "sleeper", args: []string{"sleep", "1000"}}
	check(t, c.ensure(t.Context(), d))
	first := awaitRunning(t, c, d)

	check(t, c.ensure(t.Context(), d))
	if again := c.find(d.name, "sleep"); again == nil || again.pid != first.pid {
		t.Errorf("a running daemon was not left alone: %v, then %v", first, again)
	}
	if other := here(t).find(d.name, "sleep"); other != nil {
		t.Errorf("another checkout's cluster takes process %v for its own", other)
	}
}

func TestADaemonIsRestartedWhenItsStartHasChanged(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, d *daemon)
	}{
		{"other arguments", func(_ *testing.T, d *daemon) { d.args[2] = "sleep 2000 & wait" }},
		{"other configuration", func(t *testing.T, d *daemon) {
			file, _ := strings.CutPrefix(d.args[len(d.args)-1], "--config=")
			check(t, os.WriteFile(file, []byte("new"), 0o644))
		}},
		{"other version", func(t *testing.T, d *daemon) {
			program := filepath.Join(t.TempDir(), "sh")
			copyShell(t, program)
			check(t, link(program, d.args[0]))
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := here(t)
			d := waiter(t)
			check(t, c.ensure(t.Context(), d))
			first := awaitRunning(t, c, d)
			test.change(t, &d)
			check(t, c.ensure(t.Context(), d))
			second := awaitRunning(t, c, d)
			if first.isAlive() || second.pid == first.pid {
				t.Errorf("%v still runs as it was", first)
			}
		})
	}
}

func TestChildrenOfADaemonEndWithTheCluster(t *testing.T) {
	c := here(t)
	d := daemon{name: "parent", args: []string{"sh", "-c", "setsid sleep 1000 & exec sleep 2000"}}
	check(t, c.start(d))
	err := await(t.Context(), "both sleepers", time.Minute, "", func(context.Context) error {
		if len(c.marked()) < 2 {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	check(t, kill(t.Context(), c.marked))
	if left := c.marked(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestWaitingForADaemonThatDiesShowsItsLog(t *testing.T) {
	c := here(t)
	d := daemon{name: "worker-1/broken", args: []string{"sh", "-c", "echo no such disk >&2; exit 3"}}
	check(t, c.start(d))
	started := time.Now()
	err := c.awaitDaemon(t.Context(), d, time.Minute, func(context.Context) error { return errors.New("no answer") })
	if err == nil {
		t.Fatal("a dead daemon was waited for with success")
	}
	for _, want := range []string{"worker-1/broken", "exit status 3", "no such disk"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not tell %q", err, want)
		}
	}
	if waited := time.Since(started); waited > 10*time.Second {
		t.Errorf("waited %s for the dead", waited)
	}
}

func TestWaitingEndsAtItsDeadline(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	check(t, os.WriteFile(log, []byte(strings.Repeat("old\n", 100)+"the reason\n"), 0o644))
	err := await(t.Context(), "the impossible", time.Second, log, func(context.Context) error { return errors.New("still not") })
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"the impossible", "timed out after 1s", "still not", "the reason"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not tell %q", err, want)
		}
	}
	if n := strings.Count(err.Error(), "old"); n > 20 {
		t.Errorf("the error shows %d lines of the log", n)
	}
}

// waiter is a daemon that sleeps, with a program and a configuration of its own.
func waiter(t *testing.T) daemon {
	t.Helper()
	dir := t.TempDir()
	check(t, os.Mkdir(filepath.Join(dir, "v1"), 0o755))
	version, program, config := filepath.Join(dir, "v1", "sh"), filepath.Join(dir, "sh"), filepath.Join(dir, "config")
	copyShell(t, version)
	check(t, errors.Join(link(version, program), os.WriteFile(config, []byte("old"), 0o644)))
	return daemon{name: "waiter", args: []string{program, "-c", "sleep 1000 & wait", "--config=" + config}}
}

func copyShell(t *testing.T, to string) {
	t.Helper()
	content := must(os.ReadFile("/bin/sh"))(t)
	check(t, os.WriteFile(to, content, 0o755))
}

func awaitRunning(t *testing.T, c *cluster, d daemon) process {
	t.Helper()
	err := await(t.Context(), d.name, time.Minute, "", func(context.Context) error {
		if p := c.find(d.name, d.args[0]); p == nil || p.mark(startMark) != d.fingerprint() {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return *c.find(d.name, d.args[0])
}
