package main

import (
	"bytes"
	"context"
	"net"
	"os/exec"
	"strings"
	"text/template"
	"time"
)

// kubectl runs as the administrator.
func (c *cluster) kubectl(ctx context.Context, args ...string) (string, error) {
	return output(ctx, append([]string{c.bin("kubectl"), "--kubeconfig=" + c.kubeconfig()}, args...)...)
}

// awaitNodes waits until every node is Ready.
func (c *cluster) awaitNodes(ctx context.Context) error {
	for _, n := range c.nodes {
		err := await(ctx, "node "+n.name, startLimit, c.logFile(n.name+"/kubelet"), func(ctx context.Context) error {
			_, err := c.kubectl(ctx, "wait", "--for=condition=Ready", "node/"+n.name, "--timeout=10s")
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// deployDNS runs CoreDNS.
func (c *cluster) deployDNS(ctx context.Context) error {
	if err := c.loadImage(ctx, "coredns"); err != nil {
		return err
	}
	t, err := template.ParseFS(manifests, "manifests/coredns.yaml")
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := t.Execute(&text, map[string]any{"Address": dnsService, "Domain": clusterDomain}); err != nil {
		return err
	}
	apply := exec.CommandContext(ctx, c.bin("kubectl"), "--kubeconfig="+c.kubeconfig(), "apply", "--server-side", "--force-conflicts", "--filename=-")
	apply.Stdin = &text
	if _, err := outputOf(apply); err != nil {
		return err
	}
	if err := c.awaitDeployments(ctx, "kube-system"); err != nil {
		return err
	}
	return awaitName(ctx, "kubernetes.default.svc."+clusterDomain)
}

// awaitName queries the cluster's DNS service: after a node was recreated, the status of
// a Deployment may still be that of before.
func awaitName(ctx context.Context, name string) error {
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, network, net.JoinHostPort(dnsService.String(), "53"))
	}}
	return await(ctx, "resolve "+name, startLimit, "", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		_, err := resolver.LookupHost(ctx, name+".")
		return err
	})
}

// deployCertManager runs cert-manager's controllers, and waits until its CRDs are
// established, because Certificates cannot be created before.
func (c *cluster) deployCertManager(ctx context.Context) error {
	if err := c.loadImage(ctx, "cert-manager"); err != nil {
		return err
	}
	file, err := c.makeImage(ctx, "cert-manager-manifests")
	if err != nil {
		return err
	}
	applied, err := c.kubectl(ctx, "apply", "--server-side", "--force-conflicts", "--filename="+file, "--output=name")
	if err != nil {
		return err
	}
	wait := []string{"wait", "--for=condition=Established", "--timeout=5m"}
	for name := range strings.FieldsSeq(applied) {
		if strings.HasPrefix(name, "customresourcedefinition") {
			wait = append(wait, name)
		}
	}
	if _, err := c.kubectl(ctx, wait...); err != nil {
		return err
	}
	return c.awaitDeployments(ctx, "cert-manager")
}

// awaitDeployments waits until all Deployments in a namespace are available. The error
// includes the pods' warnings.
func (c *cluster) awaitDeployments(ctx context.Context, namespace string) error {
	return await(ctx, "deployments in "+namespace, startLimit, "", func(ctx context.Context) error {
		_, err := c.kubectl(ctx, "wait", "--for=condition=Available", "deployments", "--all", "--namespace="+namespace, "--timeout=20s")
		if err == nil || ctx.Err() != nil {
			return err
		}
		return &notAvailable{err, c.podEvents(ctx, namespace)}
	})
}

// notAvailable is the error for Deployments that do not become available.
type notAvailable struct {
	err    error
	events string
}

func (e *notAvailable) Error() string { return e.err.Error() + "\n" + e.events }

func (e *notAvailable) Unwrap() error { return e.err }

// podEvents returns the latest warning events in a namespace.
func (c *cluster) podEvents(ctx context.Context, namespace string) string {
	events, _ := c.kubectl(ctx, "get", "events", "--namespace="+namespace, "--field-selector=type=Warning", "--sort-by=.lastTimestamp", "--no-headers")
	lines := strings.Split(strings.TrimSpace(events), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}
