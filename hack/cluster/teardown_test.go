package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDownLeavesNothing brings the cluster up as far as each step and takes it
// down from there, as after a crash, and compares the machine with what it
// was before. It needs root, the machine to itself, and several minutes:
//
//	CLUSTER_TESTS=1 go test ./cluster -run TestDownLeavesNothing -v -timeout 30m
func TestDownLeavesNothing(t *testing.T) {
	c := takenDown(t)
	before := observeMachine(t)

	steps := c.steps()
	for i := range steps {
		t.Run(fmt.Sprintf("after step %d %s", i+1, steps[i].title), func(t *testing.T) {
			if err := inOrder(t.Context(), c.steps()[:i+1]); err != nil {
				t.Error(err)
			}
			check(t, c.down(t.Context()))
			compareMachine(t, before)
		})
	}
	t.Run("twice", func(t *testing.T) {
		if err := c.down(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestDownAfterUpWasKilled kills up at arbitrary times, also within a step.
func TestDownAfterUpWasKilled(t *testing.T) {
	c := takenDown(t)
	program := filepath.Join(t.TempDir(), "cluster")
	if _, err := output(t.Context(), "go", "build", "-o", program, "."); err != nil {
		t.Fatal(err)
	}
	before := observeMachine(t)
	for after := 500 * time.Millisecond; after < 12*time.Second; after += 700 * time.Millisecond {
		t.Run(after.String(), func(t *testing.T) {
			up := exec.Command(program, "up")
			check(t, up.Start())
			time.Sleep(after) // the time of the kill is what is tested
			if err := up.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
			_ = up.Wait() // it was killed
			check(t, c.down(t.Context()))
			compareMachine(t, before)
		})
	}
}

// takenDown is the machine's cluster, which is taken down to begin with.
func takenDown(t *testing.T) *cluster {
	t.Helper()
	if os.Getenv("CLUSTER_TESTS") == "" {
		t.Skip("takes the machine's cluster down; set CLUSTER_TESTS=1 to allow that")
	}
	c := must(locate())(t)
	check(t, c.down(t.Context()))
	return c
}

// check ends a test that cannot go on after an error.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must gives a value to a test that cannot go on without it.
func must[V any](value V, err error) func(*testing.T) V {
	return func(t *testing.T) V {
		t.Helper()
		check(t, err)
		return value
	}
}

// A machine is the observable state of a machine, by kind.
type machine map[string][]string

func observeMachine(t *testing.T) machine {
	t.Helper()
	lines := func(args ...string) []string {
		text := must(output(t.Context(), args...))(t)
		return strings.Split(strings.TrimSpace(text), "\n")
	}
	m := machine{
		"links":     lines("ip", "-brief", "link"),
		"addresses": lines("ip", "-brief", "address"),
		"routes":    lines("ip", "route", "show", "table", "all"),
		"filters":   lines("nft", "list", "ruleset"),
		"cgroups":   lines("find", cgroupRoot, "-type", "d"),
	}
	for _, dir := range []string{"/run", "/etc", "/opt", "/var/lib", "/var/lib/cni", "/var/log"} {
		files := must(filepath.Glob(dir + "/*"))(t)
		m["files"] = append(m["files"], files...)
	}
	for _, p := range processes() {
		if _, known := programs[p.program()]; known || p.mark(clusterMark) != "" {
			m["processes"] = append(m["processes"], p.program())
		}
	}
	for _, kind := range []string{"net", "mnt", "uts", "cgroup"} {
		for _, p := range processes() {
			if namespace, err := os.Readlink(p.file("ns/" + kind)); err == nil && !slices.Contains(m["namespaces"], namespace) {
				m["namespaces"] = append(m["namespaces"], namespace)
			}
		}
	}
	mounts := must(os.ReadFile("/proc/self/mountinfo"))(t)
	m["mounts"] = strings.Split(string(mounts), "\n")
	for _, name := range append(tuned, "net/ipv4/ip_forward") {
		value := must(os.ReadFile(sysctlFile(name)))(t)
		m["sysctls"] = append(m["sysctls"], name+"="+strings.TrimSpace(string(value)))
	}
	return m
}

// compareMachine fails if the machine has more of anything than before. It retries for a
// while, because unrelated namespaces and processes may exist temporarily.
func compareMachine(t *testing.T, before machine) {
	t.Helper()
	err := await(t.Context(), "compare the machine with what it was", 20*time.Second, "", func(context.Context) error {
		var added []string
		for kind, now := range observeMachine(t) {
			for _, item := range now {
				if !slices.Contains(before[kind], item) {
					added = append(added, kind+": "+item)
				}
			}
		}
		if len(added) > 0 {
			return fmt.Errorf("new are\n%s", strings.Join(added, "\n"))
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
