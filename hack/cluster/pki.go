package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// The cluster has two authorities, like kubeadm's: one for Kubernetes, and one for etcd,
// so that no client of the API server can connect to etcd.
const (
	kubernetesCA = "ca"
	etcdCA       = "etcd-ca"
)

// An identity is a certificate with its key: its user as a client, and its addresses as
// a server.
type identity struct {
	name         string // of the files
	ca           string
	commonName   string
	organization string
	hosts        []string
	addresses    []netip.Addr
}

var (
	admin             = identity{name: "admin", commonName: "admin", organization: "system:masters"}
	etcdServer        = identity{name: "etcd", ca: etcdCA, commonName: "etcd", addresses: []netip.Addr{controlPlaneAddress}}
	etcdClient        = identity{name: "etcd-client", ca: etcdCA, commonName: "kube-apiserver"}
	kubeletClient     = identity{name: "kubelet-client", commonName: "kube-apiserver", organization: "system:masters"}
	controllerManager = identity{name: "kube-controller-manager", commonName: "system:kube-controller-manager", addresses: []netip.Addr{controlPlaneAddress}}
	scheduler         = identity{name: "kube-scheduler", commonName: "system:kube-scheduler", addresses: []netip.Addr{controlPlaneAddress}}
	proxy             = identity{name: "kube-proxy", commonName: "system:kube-proxy"}
	apiServer         = identity{
		name:       "kube-apiserver",
		commonName: "kube-apiserver",
		hosts: []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
			"kubernetes.default.svc." + clusterDomain},
		addresses: []netip.Addr{controlPlaneAddress, apiServerService},
	}
)

func (n node) identity() identity {
	return identity{
		name:         n.name,
		commonName:   "system:node:" + n.name,
		organization: "system:nodes",
		hosts:        []string{n.name},
		addresses:    []netip.Addr{n.address()},
	}
}

func (c *cluster) certFile(name string) string { return c.path("pki", name+".crt") }
func (c *cluster) keyFile(name string) string  { return c.path("pki", name+".key") }

// ensurePKI creates missing certificates and keys, and a kubeconfig for every client of
// the API server.
func (c *cluster) ensurePKI() error {
	for _, ca := range []string{kubernetesCA, etcdCA} {
		if err := c.ensureCA(ca); err != nil {
			return err
		}
	}
	if err := c.ensureServiceAccountKey(); err != nil {
		return err
	}
	clients := []identity{admin, controllerManager, scheduler, proxy}
	for _, n := range c.nodes {
		clients = append(clients, n.identity())
	}
	for _, id := range slices.Concat(clients, []identity{etcdServer, etcdClient, kubeletClient, apiServer}) {
		if err := c.ensureCertificate(id); err != nil {
			return err
		}
	}
	for _, id := range clients {
		if err := c.writeKubeconfig(id); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) ensureCA(name string) error {
	if exists(c.certFile(name)) {
		return nil
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	template := newTemplate("erlang-operator cluster "+name, "")
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	return c.writeCertificate(name, key, template, template, key)
}

func (c *cluster) ensureCertificate(id identity) error {
	if exists(c.certFile(id.name)) {
		return nil
	}
	ca := id.ca
	if ca == "" {
		ca = kubernetesCA
	}
	pair, err := tls.LoadX509KeyPair(c.certFile(ca), c.keyFile(ca))
	if err != nil {
		return fmt.Errorf("load certificate authority %s: %w", ca, err)
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	template := newTemplate(id.commonName, id.organization)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	template.DNSNames = id.hosts
	for _, address := range id.addresses {
		template.IPAddresses = append(template.IPAddresses, net.IP(address.AsSlice()))
	}
	return c.writeCertificate(id.name, key, template, pair.Leaf, pair.PrivateKey)
}

// ensureServiceAccountKey creates the key that signs the tokens of service accounts. It
// has no certificate.
func (c *cluster) ensureServiceAccountKey() error {
	file := c.keyFile("service-account")
	if exists(file) {
		return nil
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	return writeKey(file, key)
}

func newKey() (*ecdsa.PrivateKey, error) {
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

func newTemplate(commonName, organization string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	subject := pkix.Name{CommonName: commonName}
	if organization != "" {
		subject.Organization = []string{organization}
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.AddDate(5, 0, 0),
	}
}

// writeCertificate writes the key first: a certificate that exists always has
// its key.
func (c *cluster) writeCertificate(name string, key *ecdsa.PrivateKey, template, parent *x509.Certificate, signer any) error {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return fmt.Errorf("sign certificate %s: %w", name, err)
	}
	if err := writeKey(c.keyFile(name), key); err != nil {
		return err
	}
	return writeWhole(c.certFile(name), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}

func writeKey(file string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return writeWhole(file, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}

// writeWhole writes a file atomically.
func writeWhole(file string, content []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	tmp := file + ".tmp"
	if err := os.WriteFile(tmp, content, mode); err != nil {
		return err
	}
	return os.Rename(tmp, file)
}

// httpsClient returns a client that trusts one authority and presents one of its
// certificates.
func (c *cluster) httpsClient(id identity) (*http.Client, error) {
	ca := id.ca
	if ca == "" {
		ca = kubernetesCA
	}
	pair, err := tls.LoadX509KeyPair(c.certFile(id.name), c.keyFile(id.name))
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(c.certFile(ca))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	return &http.Client{
		Timeout: 5 * time.Second,
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots},
			DisableKeepAlives: true,
		},
	}, nil
}
