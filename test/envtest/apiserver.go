package envtest

import (
	"os"
	"path/filepath"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// startAPIServer starts an API server of the test's own, with the CRDs and no controller,
// and returns a client and a kubeconfig of an administrator.
func startAPIServer(t *testing.T, flags ...string) (client.Client, string) {
	t.Helper()
	server := &envtest.Environment{CRDInstallOptions: envtest.CRDInstallOptions{
		Paths:  []string{filepath.Join(repository(), "config/crd/bases"), certManagerCRDs},
		Scheme: scheme, ErrorIfPathMissing: true,
	}}
	for i := 0; i+1 < len(flags); i += 2 {
		server.ControlPlane.GetAPIServer().Configure().Append(flags[i], flags[i+1])
	}
	config, err := server.Start()
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	config.QPS, config.Burst = 1000, 1000
	c := must(client.New(config, client.Options{Scheme: scheme}))(t)
	user := must(server.AddUser(envtest.User{Name: "manager", Groups: []string{"system:masters"}}, nil))(t)
	text := must(user.KubeConfig())(t)
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	check(t, os.WriteFile(kubeconfig, text, 0o600))
	return c, kubeconfig
}
