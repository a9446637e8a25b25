//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// While nothing happens to a cluster, no object changes for three minutes, its status included,
// except for the probe's Lease. That begins again with a change: the controllers of Kubernetes
// may write after the cluster has become Ready, and on a busy machine a node may miss a deadline.
func TestQuiet(t *testing.T) {
	t.Parallel()
	const quiet = 3 * time.Minute
	c := harness.Start(t, harness.Namespace(t), "chat", 3, "27")
	var before map[string]string
	since := time.Now()
	await.Until(t, 6*quiet, fmt.Sprintf("no object has changed for %s", quiet), func(ctx context.Context) error {
		now, err := versions(ctx, c.Namespace)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(before, now); diff != "" {
			t.Logf("changed after %s (-before +after):\n%s", time.Since(since), diff)
			before, since = now, time.Now()
		}
		if passed := time.Since(since); passed < quiet {
			time.Sleep(5 * time.Second) // No change is missed: versions only grow.
			return fmt.Errorf("quiet for %s only", passed)
		}
		return nil
	})
	if len(before) < 20 {
		t.Errorf("saw %d objects only: %v", len(before), before)
	}
}

// versions are the resource versions of the clusters of a namespace, and of what they own but
// for Leases, by object.
func versions(ctx context.Context, namespace string) (map[string]string, error) {
	var list metav1.PartialObjectMetadataList
	err := kubectl.Get(ctx, &list, "erlangclusters,"+strings.TrimSuffix(harness.OwnedKinds, ",leases"), "-n", namespace)
	versions := map[string]string{}
	for _, item := range list.Items {
		versions[item.Kind+"/"+item.Name] = item.ResourceVersion
	}
	return versions, err
}
