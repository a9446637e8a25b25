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

// machineDir is the directory of what concerns the machine and not one checkout. It does
// not survive a reboot, like what it describes.
const machineDir = "/run/erlang-operator-cluster"

// A cluster is named by the checkout that it belongs to.
type cluster struct {
	checkout string
	cache    string
	families []family
	nodes    []node
	// kubernetes is another version than that of the cluster, whose API server is built
	// for tests; empty otherwise.
	kubernetes string
	// started returns, for each daemon that this process has started, how it has
	// ended, or nil.
	started map[string]func() error
}

// locate returns the cluster of the checkout that contains the working directory.
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

// nodeCount returns the number in NODES, but at least the number of existing nodes: up
// adds nodes and removes none.
func (c *cluster) nodeCount() (int, error) {
	wanted := 1
	if value := os.Getenv("NODES"); value != "" {
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > maxNodes {
			return 0, fmt.Errorf("NODES=%s: set a number from 1 to %d", value, maxNodes)
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

// dir is the directory of all files of the running cluster.
func (c *cluster) dir() string { return filepath.Join(c.checkout, ".cluster") }

func (c *cluster) path(elem ...string) string {
	return filepath.Join(append([]string{c.dir()}, elem...)...)
}

func (c *cluster) logFile(daemon string) string { return c.path("logs", daemon+".log") }

// kubeconfig returns the path of the administrator's kubeconfig.
func (c *cluster) kubeconfig() string { return c.path("kubeconfig") }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
