package envtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// startLimit is how long a program may take to start, or to end, on a machine that is busy with others.
const startLimit = 5 * time.Minute

// startEnvironment starts an API server and etcd, with the CRDs. Their ports are chosen before they are
// opened, and others may have taken one by then; the default namespace may take longer than the few
// seconds that package envtest waits for it. Then they are started anew.
func startEnvironment(flags ...string) (server *envtest.Environment, err error) {
	for range 3 {
		server = &envtest.Environment{
			CRDInstallOptions: envtest.CRDInstallOptions{
				Paths:  []string{filepath.Join(repository(), "config/crd/bases"), certManagerCRDs},
				Scheme: scheme, ErrorIfPathMissing: true, MaxTime: startLimit,
			},
			ControlPlaneStartTimeout: startLimit,
			ControlPlaneStopTimeout:  startLimit,
		}
		for i := 0; i+1 < len(flags); i += 2 {
			server.ControlPlane.GetAPIServer().Configure().Append(flags[i], flags[i+1])
		}
		if _, err = server.Start(); err == nil {
			return server, nil
		}
		err = fmt.Errorf("start kube-apiserver and etcd: %w", errors.Join(err, server.Stop()))
	}
	return nil, err
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
