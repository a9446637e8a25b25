package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const cgroupRoot = "/sys/fs/cgroup"

// controllers are those that kubelet and runc need. On version 2 the last three are not
// controllers but always available.
var controllers = []string{"cpu", "cpuset", "memory", "pids", "cpuacct", "devices", "freezer"}

func cgroupVersion2() bool { return exists(filepath.Join(cgroupRoot, "cgroup.controllers")) }

// hierarchies returns the roots of the machine's cgroup trees: one on version 2, one per
// controller and one for systemd on version 1.
func hierarchies() []string {
	if cgroupVersion2() {
		return []string{cgroupRoot}
	}
	entries, err := os.ReadDir(cgroupRoot)
	if err != nil {
		return nil
	}
	var roots []string
	for _, entry := range entries {
		// A link, as cpu often is, is another name of a hierarchy.
		if entry.IsDir() {
			roots = append(roots, filepath.Join(cgroupRoot, entry.Name()))
		}
	}
	return roots
}

// makeCgroups creates a cgroup in every hierarchy, in which kubelet can create those of
// pods.
func makeCgroups(path string) error {
	for _, root := range hierarchies() {
		dir := root
		for name := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
			if err := delegate(dir); err != nil {
				return err
			}
			parent := dir
			dir = filepath.Join(dir, name)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return fmt.Errorf("make cgroup: %w", err)
			}
			if err := inheritCPUs(parent, dir); err != nil {
				return err
			}
		}
		if err := delegate(dir); err != nil {
			return err
		}
	}
	return nil
}

// delegate enables a cgroup's controllers for its children. Version 1 does not need
// this.
func delegate(dir string) error {
	if !cgroupVersion2() {
		return nil
	}
	available, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for _, controller := range strings.Fields(string(available)) {
		err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
		if errors.Is(err, syscall.EBUSY) {
			return fmt.Errorf("enable controller %s below %s: that cgroup has processes of its own, as in a container without an init: run this on the host, or under an init that moves them to another cgroup", controller, dir)
		}
		if err != nil && slices.Contains(controllers, controller) {
			return fmt.Errorf("enable controller %s below %s: %w", controller, dir, err)
		}
	}
	return nil
}

// inheritCPUs initializes a new cpuset, which version 1 leaves empty, so that no process
// could join it.
func inheritCPUs(parent, child string) error {
	if cgroupVersion2() {
		return nil
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(parent, file))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		current, err := os.ReadFile(filepath.Join(child, file))
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(current)) > 0 {
			continue
		}
		if err := os.WriteFile(filepath.Join(child, file), value, 0o644); err != nil {
			return fmt.Errorf("set the processors of cgroup %s: %w", child, err)
		}
	}
	return nil
}

// clusterCgroups returns the cluster's existing cgroup in each hierarchy.
func clusterCgroups() []string {
	var found []string
	for _, root := range hierarchies() {
		if dir := filepath.Join(root, cgroupName); exists(dir) {
			found = append(found, dir)
		}
	}
	return found
}

// removeCgroups removes the cluster's cgroups, children first. A killed process stays in
// its cgroup for a moment.
func removeCgroups() error {
	for _, top := range clusterCgroups() {
		var dirs []string
		err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // removed in the meantime
			}
			if err == nil && entry.IsDir() {
				dirs = append(dirs, path)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("list cgroups: %w", err)
		}
		for _, dir := range slices.Backward(dirs) {
			if err := removeCgroup(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

func removeCgroup(dir string) error {
	deadline := time.Now().Add(time.Minute)
	for {
		err := os.Remove(dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("remove cgroup: %w", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
