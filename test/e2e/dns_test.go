//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// While the DNS server of Kubernetes is replaced as administrators do it, no verdict changes. Without any
// server the probe soon reports that names are not resolved, as the nodes would find. It runs alone, because
// everything else needs DNS, too.
func TestDNSRestart(t *testing.T) {
	c := harness.Start(t, harness.Namespace(t), "chat", 3, "27")
	watched := c.WatchReady(t)
	kubectl.Must(t, "rollout", "restart", "deployment/coredns", "-n", "kube-system")
	kubectl.Must(t, "rollout", "status", "deployment/coredns", "-n", "kube-system", "--timeout=4m")
	restarted := time.Now()
	await.Until(t, 2*time.Minute, "the probe has swept twice since the restart", func(ctx context.Context) error {
		_, renewed, err := c.ProbeLease(ctx)
		if err == nil && renewed.Before(restarted.Add(20*time.Second)) {
			err = fmt.Errorf("it has confirmed its report at %s", renewed)
		}
		return err
	})
	watched()
}
