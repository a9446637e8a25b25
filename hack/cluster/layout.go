package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/erlang-operator/erlang-operator/hack/cache"
)

const (
	linkPrefix    = "erlop"
	bridge        = linkPrefix + "0"
	cgroupName    = "erlang-operator-cluster"
	clusterDomain = "cluster.local"
	maxNodes      = 9
)

// machineDir holds what concerns the machine and not one checkout. Like the
// things it describes it does not survive a reboot.
const machineDir = "/run/erlang-operator-cluster"

// A cluster is named by the checkout that it belongs to.
type cluster struct {
	checkout string
	cache    string
	families []family
	nodes    []node
	// started tells of each daemon that this process has started whether it
	// has ended.
	started map[string]func() error
}

// locate finds the checkout around the working directory and how many nodes
// its cluster has.
func locate() (*cluster, error) {
	checkout, err := findCheckout()
	if err != nil {
		return nil, err
	}
	cacheRoot, err := cache.Root()
	if err != nil {
		return nil, err
	}
	c := &cluster{checkout: checkout, cache: cacheRoot, started: map[string]func() error{}}
	if c.families, err = wantedFamilies(); err != nil {
		return nil, err
	}
	count, err := c.nodeCount()
	if err != nil {
		return nil, err
	}
	for i := range count {
		c.nodes = append(c.nodes, newNode(c, i+1))
	}
	return c, nil
}

func findCheckout() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if exists(filepath.Join(dir, "hack", "kubernetes", "go.mod")) {
			return filepath.EvalSymlinks(dir)
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not inside a checkout of erlang-operator", start)
		}
	}
}

// nodeCount is what NODES asks for, but never fewer than there are: up adds
// nodes and takes none away.
func (c *cluster) nodeCount() (int, error) {
	wanted := 1
	if value := os.Getenv("NODES"); value != "" {
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > maxNodes {
			return 0, fmt.Errorf("NODES=%s: give a number from 1 to %d", value, maxNodes)
		}
		wanted = n
	}
	for n := maxNodes; n > wanted; n-- {
		if exists(newNode(c, n).dir) {
			return n, nil
		}
	}
	return wanted, nil
}

// dir is where everything lives that belongs to the running cluster.
func (c *cluster) dir() string { return filepath.Join(c.checkout, ".cluster") }

func (c *cluster) path(elem ...string) string {
	return filepath.Join(append([]string{c.dir()}, elem...)...)
}

func (c *cluster) logFile(daemon string) string { return c.path("logs", daemon+".log") }

// kubeconfig is the administrator's.
func (c *cluster) kubeconfig() string { return c.path("kubeconfig") }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
