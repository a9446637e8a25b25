package main

import (
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
)

//go:embed manifests
var manifests embed.FS

// up starts everything of the cluster that is not running.
func (c *cluster) up(ctx context.Context) error {
	release, err := takeTurns(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := inOrder(ctx, c.steps()); err != nil {
		return err
	}
	say("\nexport KUBECONFIG=%s PATH=%s:$PATH", c.kubeconfig(), c.binDir())
	return nil
}

func (c *cluster) steps() []step {
	steps := []step{
		{"check what the machine has", func(ctx context.Context) error {
			// The owner is checked first, because the other checks would
			// report what another cluster does.
			if err := c.checkOwner(); err != nil {
				return err
			}
			return c.checkHost(ctx)
		}},
		{"install missing packages", ensurePackages},
		{"build missing programs", func(ctx context.Context) error { return c.buildPrograms(ctx) }},
		{"claim the machine", c.claim},
		{"certificates and kubeconfigs", func(context.Context) error { return c.ensurePKI() }},
		{"bridge " + bridge, c.ensureBridge},
		{"etcd", c.startEtcd},
		{"kube-apiserver", c.startAPIServer},
		{"kube-controller-manager", c.startControllerManager},
		{"kube-scheduler", c.startScheduler},
	}
	for _, n := range c.nodes {
		steps = append(steps,
			step{n.name + ": namespaces and links", n.ensureNamespaces},
			step{n.name + ": containerd", n.startContainerd},
		)
	}
	steps = append(steps,
		step{"routes to pods and services", c.ensureRoutes},
		step{"pause image", func(ctx context.Context) error { return c.loadImage(ctx, "pause") }},
	)
	for _, n := range c.nodes {
		steps = append(steps,
			step{n.name + ": kubelet", n.startKubelet},
			step{n.name + ": kube-proxy", n.startProxy},
		)
	}
	return append(steps,
		step{"nodes Ready", c.awaitNodes},
		step{"CoreDNS", c.deployDNS},
		step{"cert-manager", c.deployCertManager},
	)
}

// printStatus prints the daemons and their processes, and returns an error unless all of
// them are running.
func (c *cluster) printStatus(ctx context.Context) error {
	names := []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}
	for _, n := range c.nodes {
		for _, part := range []string{"containerd", "kubelet", "kube-proxy"} {
			names = append(names, n.name+"/"+part)
		}
	}
	dead := 0
	for _, name := range names {
		if p := c.find(name, name); p != nil {
			fmt.Printf("%-24s running  %-8d %s\n", name, p.pid, c.logFile(name))
		} else {
			fmt.Printf("%-24s dead     %-8s %s\n", name, "-", c.logFile(name))
			dead++
		}
	}
	if dead > 0 {
		return fmt.Errorf("%d of %d daemons are not running; start them with up", dead, len(names))
	}
	nodes, err := c.kubectl(ctx, "get", "nodes", "-o", "wide")
	fmt.Print(nodes)
	return err
}

// shell replaces this process by a command in a node.
func (c *cluster) shell(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("name a node, such as %s", c.nodes[0].name)
	}
	for _, n := range c.nodes {
		if n.name != args[0] {
			continue
		}
		holder := n.holder()
		if holder == 0 {
			return fmt.Errorf("%s is not running; start it with up", n.name)
		}
		command := args[1:]
		if len(command) == 0 {
			command = []string{"bash"}
		}
		// ctr is in the path, and shows Kubernetes' containers by default.
		inside := []string{"env", "PATH=" + c.binDir() + ":" + os.Getenv("PATH"), "CONTAINERD_NAMESPACE=k8s.io"}
		return become(slices.Concat(enter(holder), inside, command))
	}
	return fmt.Errorf("unknown node %s", args[0])
}

// become replaces this process by a program.
func become(args []string) error {
	program, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	return syscall.Exec(program, args, os.Environ())
}
