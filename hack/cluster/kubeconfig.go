package main

import (
	"encoding/base64"
	"fmt"
	"os"
)

const kubeconfigTemplate = `apiVersion: v1
kind: Config
current-context: erlang-operator
contexts:
- name: erlang-operator
  context: {cluster: erlang-operator, user: %[1]s}
clusters:
- name: erlang-operator
  cluster:
    server: https://%[2]s:6443
    certificate-authority-data: %[3]s
users:
- name: %[1]s
  user:
    client-certificate-data: %[4]s
    client-key-data: %[5]s
`

// kubeconfigOf returns the path of an identity's kubeconfig. The administrator's is the
// one for people.
func (c *cluster) kubeconfigOf(id identity) string {
	if id.name == admin.name {
		return c.kubeconfig()
	}
	return c.path("pki", id.name+".kubeconfig")
}

func (c *cluster) writeKubeconfig(id identity) error {
	var parts []any
	for _, file := range []string{c.certFile(kubernetesCA), c.certFile(id.name), c.keyFile(id.name)} {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		parts = append(parts, base64.StdEncoding.EncodeToString(content))
	}
	text := fmt.Sprintf(kubeconfigTemplate, append([]any{id.commonName, controlPlaneAddress}, parts...)...)
	return writeWhole(c.kubeconfigOf(id), []byte(text), 0o600)
}
