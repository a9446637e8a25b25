package envtest

import (
	"os"
	"path/filepath"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/erlang-operator/erlang-operator/test/controlplane"
)

// startEnvironment starts an API server and etcd, with the CRDs.
func startEnvironment(flags ...string) (*envtest.Environment, error) {
	return controlplane.Start("", []string{filepath.Join(repository(), "config/crd/bases"), certManagerCRDs}, flags...)
}

// startAPIServer starts an API server of the test's own, with the CRDs and no controller,
// and returns a client and a kubeconfig of an administrator.
func startAPIServer(t *testing.T, flags ...string) (client.Client, string) {
	t.Helper()
	server := must(startEnvironment(flags...))(t)
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	c := must(client.New(server.Config, client.Options{Scheme: scheme}))(t)
	user := must(server.AddUser(envtest.User{Name: "manager", Groups: []string{"system:masters"}}, nil))(t)
	text := must(user.KubeConfig())(t)
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	check(t, os.WriteFile(kubeconfig, text, 0o600))
	return c, kubeconfig
}
