package main

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
)

const apiServerPort = "6443"

// startEtcd runs etcd without fsync: the cluster may be lost in a power failure, and can
// be recreated in a minute.
func (c *cluster) startEtcd(ctx context.Context) error {
	client := c.url("2379", "")
	d := daemon{name: "etcd", args: []string{
		c.bin("etcd"),
		"--name=etcd",
		"--data-dir=" + c.path("etcd"),
		"--unsafe-no-fsync",
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + c.url("2380", ""),
		"--initial-advertise-peer-urls=" + c.url("2380", ""),
		"--initial-cluster=etcd=" + c.url("2380", ""),
		"--client-cert-auth",
		"--trusted-ca-file=" + c.certFile(etcdCA),
		"--cert-file=" + c.certFile("etcd"),
		"--key-file=" + c.keyFile("etcd"),
		"--peer-client-cert-auth",
		"--peer-trusted-ca-file=" + c.certFile(etcdCA),
		"--peer-cert-file=" + c.certFile("etcd"),
		"--peer-key-file=" + c.keyFile("etcd"),
		"--log-level=warn",
	}}
	return c.ensureServing(ctx, d, c.url("2379", "/health"), etcdClient)
}

func (c *cluster) startAPIServer(ctx context.Context) error {
	d := daemon{name: "kube-apiserver", args: []string{
		c.bin("kube-apiserver"),
		"--bind-address=" + controlPlaneAddress.String(),
		"--advertise-address=" + controlPlaneAddress.String(),
		"--secure-port=" + apiServerPort,
		"--etcd-servers=" + c.url("2379", ""),
		"--etcd-cafile=" + c.certFile(etcdCA),
		"--etcd-certfile=" + c.certFile("etcd-client"),
		"--etcd-keyfile=" + c.keyFile("etcd-client"),
		"--client-ca-file=" + c.certFile(kubernetesCA),
		"--tls-cert-file=" + c.certFile("kube-apiserver"),
		"--tls-private-key-file=" + c.keyFile("kube-apiserver"),
		"--kubelet-certificate-authority=" + c.certFile(kubernetesCA),
		"--kubelet-client-certificate=" + c.certFile("kubelet-client"),
		"--kubelet-client-key=" + c.keyFile("kubelet-client"),
		// This host cannot resolve the names of nodes.
		"--kubelet-preferred-address-types=InternalIP",
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--service-account-issuer=https://kubernetes.default.svc." + clusterDomain,
		"--service-account-key-file=" + c.keyFile("service-account"),
		"--service-account-signing-key-file=" + c.keyFile("service-account"),
		"--service-cluster-ip-range=" + joined(c.families, func(f family) netip.Prefix { return f.services }),
		"--allow-privileged=true",
	}}
	return c.ensureServing(ctx, d, c.url(apiServerPort, "/readyz"), admin)
}

func (c *cluster) startControllerManager(ctx context.Context) error {
	config := c.kubeconfigOf(controllerManager)
	d := daemon{name: "kube-controller-manager", args: []string{
		c.bin("kube-controller-manager"),
		"--bind-address=" + controlPlaneAddress.String(),
		"--tls-cert-file=" + c.certFile(controllerManager.name),
		"--tls-private-key-file=" + c.keyFile(controllerManager.name),
		"--kubeconfig=" + config,
		"--authentication-kubeconfig=" + config,
		"--authorization-kubeconfig=" + config,
		"--leader-elect=false",
		"--use-service-account-credentials",
		"--service-account-private-key-file=" + c.keyFile("service-account"),
		"--root-ca-file=" + c.certFile(kubernetesCA),
		"--cluster-signing-cert-file=" + c.certFile(kubernetesCA),
		"--cluster-signing-key-file=" + c.keyFile(kubernetesCA),
	}}
	return c.ensureServing(ctx, d, c.url("10257", "/healthz"), admin)
}

func (c *cluster) startScheduler(ctx context.Context) error {
	config := c.kubeconfigOf(scheduler)
	d := daemon{name: "kube-scheduler", args: []string{
		c.bin("kube-scheduler"),
		"--bind-address=" + controlPlaneAddress.String(),
		"--tls-cert-file=" + c.certFile(scheduler.name),
		"--tls-private-key-file=" + c.keyFile(scheduler.name),
		"--kubeconfig=" + config,
		"--authentication-kubeconfig=" + config,
		"--authorization-kubeconfig=" + config,
		"--leader-elect=false",
	}}
	return c.ensureServing(ctx, d, c.url("10259", "/healthz"), admin)
}

// ensureServing starts a daemon and waits until its health endpoint answers OK to a
// client with an identity.
func (c *cluster) ensureServing(ctx context.Context, d daemon, health string, as identity) error {
	if err := c.ensure(ctx, d); err != nil {
		return err
	}
	client, err := c.httpsClient(as)
	if err != nil {
		return err
	}
	return c.awaitDaemon(ctx, d, startLimit, func(ctx context.Context) error {
		return getOK(ctx, client, health)
	})
}

func getOK(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}

// url returns a URL of the control plane.
func (c *cluster) url(port, path string) string {
	return "https://" + controlPlaneAddress.String() + ":" + port + path
}
