// Package controlplane starts kube-apiserver and etcd for tests.
package controlplane

import (
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// StartLimit is how long a program may take to start, or to end, on a machine that is busy with others.
const StartLimit = 5 * time.Minute

// Start starts the programs of a directory, or of KUBEBUILDER_ASSETS, with these CRDs, and flags of
// kube-apiserver, each followed by its value. Their ports are chosen before they are opened, and others may
// have taken one by then; the default namespace may take longer than the few seconds that package envtest
// waits for it. Then they are started anew.
func Start(directory string, crds []string, flags ...string) (*envtest.Environment, error) {
	var failed error
	for range 3 {
		environment := &envtest.Environment{
			BinaryAssetsDirectory:    directory,
			CRDInstallOptions:        envtest.CRDInstallOptions{Paths: crds, ErrorIfPathMissing: true, MaxTime: StartLimit},
			ControlPlaneStartTimeout: StartLimit,
			ControlPlaneStopTimeout:  StartLimit,
		}
		for i := 0; i+1 < len(flags); i += 2 {
			environment.ControlPlane.GetAPIServer().Configure().Append(flags[i], flags[i+1])
		}
		_, err := environment.Start()
		if err == nil {
			return environment, nil
		}
		failed = errors.Join(failed, err, environment.Stop())
	}
	return nil, fmt.Errorf("start kube-apiserver and etcd: %w", failed)
}
