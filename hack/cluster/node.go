package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

// A node is a set of namespaces in which containerd, kubelet and kube-proxy run. A
// sleeping process keeps them alive.
type node struct {
	*cluster
	number int
	name   string
	dir    string
	link   string // the host's end of its link
}

func newNode(c *cluster, number int) node {
	name := fmt.Sprintf("worker-%d", number)
	return node{
		cluster: c,
		number:  number,
		name:    name,
		dir:     c.path(name),
		link:    fmt.Sprintf(linkPrefix+"-w%d", number),
	}
}

// address returns the node's address of the first family, which is its address in
// Kubernetes.
func (n node) address() netip.Addr { return ipv4.node(n.number) }

// unshareScript becomes the process that keeps a node's namespaces alive. The node's
// /run is a tmpfs, its /var is a directory of the checkout; mounts of its daemons are
// not visible outside. Without -n, mount would write to the host's /run.
const unshareScript = `set -e
hostname "$1"
mount -n -t tmpfs -o mode=755 run /run
mount --bind "$2" /var
exec sleep infinity`

func (n node) holderDaemon() daemon {
	return daemon{name: n.name + "/namespaces", args: []string{"sleep", "infinity"}}
}

// holder returns the process that keeps the node's namespaces alive, or 0.
func (n node) holder() int {
	if p := n.find(n.holderDaemon().name, "sleep"); p != nil {
		return p.pid
	}
	return 0
}

// ensureNamespaces creates the node's namespaces, links and cgroups.
func (n node) ensureNamespaces(ctx context.Context) error {
	if n.holder() == 0 {
		if err := n.makeNamespaces(ctx); err != nil {
			return err
		}
	}
	if err := makeCgroups(n.cgroup()); err != nil {
		return err
	}
	return n.ensureLink(ctx, n.holder())
}

func (n node) makeNamespaces(ctx context.Context) error {
	// Without its holder, processes in a node's old namespaces cannot be reached.
	if err := n.killAll(ctx); err != nil {
		return err
	}
	for _, dir := range []string{"lib", "log", "tmp"} {
		if err := os.MkdirAll(filepath.Join(n.dir, "var", dir), 0o755); err != nil {
			return err
		}
	}
	if err := link("/run", filepath.Join(n.dir, "var", "run")); err != nil {
		return err
	}
	holder := n.holderDaemon()
	err := n.start(daemon{name: holder.name, args: []string{
		"unshare", "--mount", "--net", "--uts", "--propagation", "slave",
		"sh", "-c", unshareScript, "sh", n.name, filepath.Join(n.dir, "var"),
	}})
	if err != nil {
		return err
	}
	return n.awaitDaemon(ctx, holder, time.Minute, func(context.Context) error {
		if n.holder() == 0 {
			return errors.New("the namespaces do not exist yet")
		}
		return nil
	})
}

// killAll ends every process of the node, daemons and containers.
func (n node) killAll(ctx context.Context) error {
	return kill(ctx, func() processList {
		return matching(func(p process) bool {
			isDaemon := p.mark(clusterMark) == n.checkout && strings.HasPrefix(p.mark(daemonMark), n.name+"/")
			return isDaemon || p.isBelow(n.cgroup())
		})
	})
}

func (n node) cgroup() string { return "/" + cgroupName + "/" + n.name }

func (n node) startContainerd(ctx context.Context) error {
	config, err := n.writeConfig("containerd.toml")
	if err != nil {
		return err
	}
	if _, err := n.writeConfig("cni/10-pods.conflist"); err != nil {
		return err
	}
	d := n.daemon("containerd", "--config="+config)
	if err := n.ensure(ctx, d); err != nil {
		return err
	}
	return n.awaitDaemon(ctx, d, startLimit, func(ctx context.Context) error {
		_, err := n.ctr(ctx, "version")
		return err
	})
}

func (n node) startKubelet(ctx context.Context) error {
	config, err := n.writeConfig("kubelet.yaml")
	if err != nil {
		return err
	}
	d := n.daemon("kubelet",
		"--config="+config,
		"--kubeconfig="+n.kubeconfigOf(n.identity()),
		"--hostname-override="+n.name,
		"--node-ip="+joined(n.families, func(f family) netip.Addr { return f.node(n.number) }),
	)
	return n.ensureServing(ctx, d, fmt.Sprintf("https://%s:10250/healthz", n.address()), admin)
}

func (n node) startProxy(ctx context.Context) error {
	config, err := n.writeConfig("kube-proxy.yaml")
	if err != nil {
		return err
	}
	d := n.daemon("kube-proxy", "--config="+config)
	if err := n.ensure(ctx, d); err != nil {
		return err
	}
	return n.awaitDaemon(ctx, d, startLimit, func(ctx context.Context) error {
		rules, err := n.inside(ctx, "nft", "list", "table", "ip", "kube-proxy")
		if err == nil && !strings.Contains(rules, apiServerService.String()) {
			err = errors.New("the Service kubernetes has no rules yet")
		}
		return err
	})
}

func (n node) daemon(name string, args ...string) daemon {
	return daemon{name: n.name + "/" + name, args: append([]string{n.bin(name)}, args...), within: n.holder()}
}

// inside runs a command in the node and returns its output.
func (n node) inside(ctx context.Context, args ...string) (string, error) {
	return output(ctx, append(enter(n.holder()), args...)...)
}

// ctr runs containerd's client on the images and containers of Kubernetes.
func (n node) ctr(ctx context.Context, args ...string) (string, error) {
	return n.inside(ctx, append([]string{n.bin("ctr"), "--namespace=k8s.io"}, args...)...)
}

// pods returns the ranges of the node's pods.
func (n node) pods() []netip.Prefix {
	var ranges []netip.Prefix
	for _, f := range n.families {
		ranges = append(ranges, f.podsOf(n.number))
	}
	return ranges
}

//go:embed templates
var templates embed.FS

// writeConfig writes one of the templates for the node.
func (n node) writeConfig(name string) (string, error) {
	t, err := template.ParseFS(templates, "templates/"+filepath.Base(name))
	if err != nil {
		return "", err
	}
	var text bytes.Buffer
	err = t.Execute(&text, map[string]any{
		"Name":            n.name,
		"Address":         n.address(),
		"Cgroup":          n.cgroup(),
		"Pods":            n.pods(),
		"ClusterCIDR":     joined(n.families, func(f family) netip.Prefix { return f.pods }),
		"DNS":             dnsService,
		"Domain":          clusterDomain,
		"CA":              n.certFile(kubernetesCA),
		"Certificate":     n.certFile(n.name),
		"Key":             n.keyFile(n.name),
		"ProxyKubeconfig": n.kubeconfigOf(proxy),
		"CNI":             n.config("cni"),
		"PauseImage":      pauseImage,
		"Snapshotter":     n.snapshotter(),
	})
	if err != nil {
		return "", err
	}
	return n.config(name), writeWhole(n.config(name), text.Bytes(), 0o644)
}

func (n node) config(name string) string { return filepath.Join(n.dir, "etc", name) }
