//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// Claims outlive the cluster, unless persistentVolumeClaimRetentionPolicy deletes them.
func TestVolumes(t *testing.T) {
	t.Parallel()
	ns := harness.Namespace(t)
	for _, test := range []struct {
		name, policy string
		kept         bool
	}{
		{name: "keeps", kept: true},
		{name: "drops", policy: "persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete}"},
	} {
		harness.PersistentVolumes(t, ns, test.name, 1)
		c := harness.Start(t, ns, test.name, 1, "27", append(harness.Claims(ns, test.name), test.policy)...)
		claim := "data-" + c.Pod(0)
		if phase := kubectl.Must(t, "get", "pvc", claim, "-n", ns, "-o", "jsonpath={.status.phase}"); phase != "Bound" {
			t.Errorf("claim %s is %q, want Bound", claim, phase)
		}
		kubectl.Must(t, "delete", "erlangcluster", c.Name, "-n", ns, "--timeout=3m")
		await.Until(t, 3*time.Minute, "the pods are gone", func(ctx context.Context) error {
			return c.NothingLeft(ctx, "pods,statefulsets")
		})
		if test.kept {
			kubectl.Must(t, "get", "pvc", claim, "-n", ns)
			continue
		}
		await.Until(t, 3*time.Minute, "the claim is gone", func(ctx context.Context) error {
			left, err := kubectl.Run(ctx, "get", "pvc", "-n", ns, "-o", "name")
			if err == nil && strings.Contains(left, claim) {
				err = fmt.Errorf("left: %s", left)
			}
			return err
		})
	}
}
