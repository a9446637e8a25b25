package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// checkHost reports what the machine lacks before anything is changed on it.
func (c *cluster) checkHost(ctx context.Context) error {
	return errors.Join(
		c.checkPlaces(),
		checkNoOtherKubelet(),
		c.checkAddressesAreFree(ctx),
		checkCgroups(),
		c.checkBridgedTraffic(ctx),
	)
}

func checkRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("namespaces, links and cgroups need root: run this as root")
	}
	return nil
}

// checkPlaces reports directories that a node could not see, because it has a /run and a
// /var of its own.
func (c *cluster) checkPlaces() error {
	for what, dir := range map[string]string{"the checkout": c.checkout, "the cache": c.cache} {
		for _, covered := range []string{"/run/", "/var/"} {
			if strings.HasPrefix(dir, covered) {
				return fmt.Errorf("%s is in %s, and a node has its own %s: move the checkout, or set ERLANG_OPERATOR_CACHE to another directory", what, dir, covered)
			}
		}
	}
	return nil
}

// checkNoOtherKubelet reports a machine that is a node of another cluster: two kubelets
// would conflict about its sysctls and cgroups.
func checkNoOtherKubelet() error {
	for _, p := range processes() {
		if p.program() == "kubelet" && p.mark(clusterMark) == "" && p.isAlive() {
			return fmt.Errorf("a kubelet runs here already (process %d): use a machine that is not a node of another cluster", p.pid)
		}
	}
	return nil
}

// checkCgroups reports missing controllers.
func checkCgroups() error {
	var available string
	var needed []string
	if cgroupVersion2() {
		text, err := os.ReadFile(filepath.Join(cgroupRoot, "cgroup.controllers"))
		if err != nil {
			return err
		}
		available, needed = " "+strings.TrimSpace(string(text))+" ", controllers[:4]
	} else {
		available, needed = " ", controllers
		for _, root := range hierarchies() {
			available += strings.ReplaceAll(filepath.Base(root), ",", " ") + " "
		}
	}
	var missing []string
	for _, controller := range needed {
		if !strings.Contains(available, " "+controller+" ") {
			missing = append(missing, controller)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("no cgroup controller %s under %s: mount them, or boot a kernel that has them", strings.Join(missing, ", "), cgroupRoot)
	}
	return nil
}

// checkBridgedTraffic reports a firewall that would drop the traffic between nodes: with
// br_netfilter, which container engines load, the host filters frames between the ports
// of a bridge as if it routed them.
func (c *cluster) checkBridgedTraffic(ctx context.Context) error {
	setting, _ := os.ReadFile("/proc/sys/net/bridge/bridge-nf-call-iptables")
	if len(c.nodes) == 1 || strings.TrimSpace(string(setting)) != "1" {
		return nil
	}
	policy, err := output(ctx, "iptables", "-S", "FORWARD")
	if err == nil && strings.Contains(policy, "-P FORWARD DROP") {
		return errors.New("the host's firewall drops traffic between nodes: use NODES=1, or set sysctl net.bridge.bridge-nf-call-iptables=0, or iptables -P FORWARD ACCEPT")
	}
	return nil
}

// snapshotter returns how containerd stacks the layers of images: with overlay mounts,
// or by copying them if the checkout's file system does not support such mounts, as in a
// container.
func (n node) snapshotter() string {
	if err := tryOverlay(filepath.Join(n.dir, "var", "tmp")); err != nil {
		return "native"
	}
	return "overlayfs"
}

func tryOverlay(parent string) error {
	dir, err := os.MkdirTemp(parent, "overlay-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	options := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", dir)
	merged := filepath.Join(dir, "merged")
	if err := syscall.Mount("overlay", merged, "overlay", 0, options); err != nil {
		return err
	}
	return syscall.Unmount(merged, 0)
}
