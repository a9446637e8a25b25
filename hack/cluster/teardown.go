package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func (c *cluster) down(ctx context.Context) error {
	release, err := takeTurns(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := c.checkOwner(); err != nil {
		return err
	}
	if err := c.tearDown(ctx); err != nil {
		return err
	}
	return c.checkNothingLeft()
}

// tearDown removes a complete or incomplete cluster. Killing its processes also removes
// the namespaces with all mounts, packet filters and the nodes' ends of the links.
func (c *cluster) tearDown(ctx context.Context) error {
	return inOrder(ctx, []step{
		{"end the cluster's processes", func(ctx context.Context) error { return kill(ctx, c.processes) }},
		{"remove links and routes", removeLinks},
		{"remove cgroups", func(context.Context) error { return removeCgroups() }},
		{"restore the kernel's settings", func(context.Context) error { return restoreSysctls() }},
		{"remove files", func(context.Context) error { return c.removeFiles() }},
	})
}

// processes returns the cluster's processes: daemons and their children, and containers,
// which have an environment of their own and are recognized by their cgroup.
func (c *cluster) processes() processList {
	return slices.Concat(c.marked(), matching(func(p process) bool { return p.isBelow("/" + cgroupName) }))
}

// clusterLinks returns the bridge and the host's ends of the nodes' links.
func clusterLinks() []string {
	var ours []string
	all, _ := net.Interfaces()
	for _, link := range all {
		if strings.HasPrefix(link.Name, linkPrefix) {
			ours = append(ours, link.Name)
		}
	}
	return ours
}

// removeLinks removes the links, and with them the routes through them. At the same time
// the kernel removes some with the nodes' namespaces.
func removeLinks(ctx context.Context) error {
	return await(ctx, "remove links", time.Minute, "", func(ctx context.Context) error {
		var failed error
		for _, link := range clusterLinks() {
			_, err := output(ctx, "ip", "link", "delete", link)
			failed = errors.Join(failed, err)
		}
		return failed
	})
}

// removeFiles removes the cluster's files, but not the links to built programs, which are
// used without a cluster.
func (c *cluster) removeFiles() error {
	// The only mounts were in the namespaces, which no longer exist. Removing would
	// delete the content of any other mount.
	if mounts := c.mounts(); len(mounts) > 0 {
		return fmt.Errorf("something is mounted in the cluster's directory: unmount %s", strings.Join(mounts, ", "))
	}
	entries, err := os.ReadDir(c.dir())
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for _, entry := range entries {
		if entry.Name() == filepath.Base(c.binDir()) {
			continue
		}
		if err := os.RemoveAll(c.path(entry.Name())); err != nil {
			return err
		}
	}
	return os.RemoveAll(machineDir)
}

// mounts returns the host's mount points in the cluster's directory.
func (c *cluster) mounts() []string {
	text, _ := os.ReadFile("/proc/self/mountinfo")
	var found []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) > 4 && strings.HasPrefix(fields[4], c.dir()+"/") {
			found = append(found, fields[4])
		}
	}
	return found
}

// checkNothingLeft returns an error if anything of a cluster is left on the machine.
func (c *cluster) checkNothingLeft() error {
	var left []string
	for _, p := range c.processes() {
		left = append(left, fmt.Sprintf("process %d (%s)", p.pid, p.program()))
	}
	for _, link := range clusterLinks() {
		left = append(left, "link "+link)
	}
	left = append(left, clusterCgroups()...)
	left = append(left, c.mounts()...)
	for _, file := range []string{machineDir, c.kubeconfig()} {
		if exists(file) {
			left = append(left, file)
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("left over from the cluster: %s", strings.Join(left, ", "))
	}
	return nil
}
