package main

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
)

func TestPKI(t *testing.T) {
	c := &cluster{checkout: t.TempDir()}
	c.nodes = []node{newNode(c, 1)}
	check(t, c.ensurePKI())

	tests := []struct {
		identity identity
		ca       string
		host     string
	}{
		{apiServer, kubernetesCA, apiServerService.String()},
		{apiServer, kubernetesCA, "kubernetes.default.svc"},
		{etcdServer, etcdCA, controlPlaneAddress.String()},
		{etcdClient, etcdCA, ""},
		{admin, kubernetesCA, ""},
		{c.nodes[0].identity(), kubernetesCA, "10.197.0.11"},
	}
	for _, test := range tests {
		t.Run(test.identity.name+" "+test.host, func(t *testing.T) {
			pair := must(tls.LoadX509KeyPair(c.certFile(test.identity.name), c.keyFile(test.identity.name)))(t)
			for _, ca := range []string{kubernetesCA, etcdCA} {
				_, err := pair.Leaf.Verify(x509.VerifyOptions{
					Roots:     pool(t, c.certFile(ca)),
					DNSName:   test.host,
					KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
				})
				if ca == test.ca && err != nil {
					t.Errorf("not accepted under %s: %v", ca, err)
				}
				if ca != test.ca && err == nil {
					t.Errorf("accepted under %s", ca)
				}
			}
			if got := pair.Leaf.Subject.CommonName; got != test.identity.commonName {
				t.Errorf("its name is %q, want %q", got, test.identity.commonName)
			}
		})
	}
}

func TestPKIStaysAsItIs(t *testing.T) {
	c := &cluster{checkout: t.TempDir()}
	c.nodes = []node{newNode(c, 1)}
	check(t, c.ensurePKI())
	before := contents(t, c.path("pki"))
	c.nodes = append(c.nodes, newNode(c, 2))
	check(t, c.ensurePKI())
	after := contents(t, c.path("pki"))
	for file, content := range before {
		if after[file] != content {
			t.Errorf("%s has changed", file)
		}
	}
	if len(after) != len(before)+3 {
		t.Errorf("a second node has brought %d files, want certificate, key and kubeconfig", len(after)-len(before))
	}
}

func TestKeysAreForTheirOwnerOnly(t *testing.T) {
	c := &cluster{checkout: t.TempDir()}
	check(t, c.ensurePKI())
	keys, err := filepath.Glob(c.path("pki", "*.key"))
	if err != nil || len(keys) == 0 {
		t.Fatalf("no keys: %v", err)
	}
	for _, file := range append(keys, c.kubeconfig()) {
		info := must(os.Stat(file))(t)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %s", file, info.Mode())
		}
	}
}

func pool(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	pem := must(os.ReadFile(file))(t)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return roots
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	entries := must(os.ReadDir(dir))(t)
	for _, entry := range entries {
		content := must(os.ReadFile(filepath.Join(dir, entry.Name())))(t)
		files[entry.Name()] = string(content)
	}
	return files
}
