//go:build e2e

package e2e

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// A restart of the DNS server of Kubernetes changes no verdict. It runs alone, because
// everything else needs DNS too.
func TestDNSRestart(t *testing.T) {
	c := harness.Start(t, harness.Namespace(t), "chat", 3, "27")
	watched := c.WatchReady(t)
	kubectl.Must(t, "delete", "pod", "-l", "k8s-app=kube-dns", "-n", "kube-system", "--wait=false")
	kubectl.Must(t, "rollout", "status", "deployment/coredns", "-n", "kube-system", "--timeout=2m")
	restarted := time.Now()
	await.Until(t, 2*time.Minute, "the probe reports after the restart", func(ctx context.Context) error {
		mesh, err := c.Mesh(ctx)
		if err != nil {
			return err
		}
		if !mesh.HeartbeatTime.After(restarted) {
			return errors.New("the last report is from before")
		}
		return nil
	})
	watched()
}
