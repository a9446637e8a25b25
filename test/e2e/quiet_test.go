//go:build e2e

package e2e

import (
	"context"
	"errors"
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

// While nothing happens to a cluster, no object changes for five minutes, its status included,
// except for the probe's Lease.
func TestQuiet(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Namespace(t), "chat", 3, "27")
	// The controllers of Kubernetes may still write, after the cluster has become Ready.
	var before map[string]string
	since := time.Now()
	await.Until(t, time.Minute, "no object has changed for 10 s", func(ctx context.Context) error {
		now, err := versions(ctx, c.Namespace)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(before, now); diff != "" {
			before, since = now, time.Now()
			return errors.New(diff)
		}
		if quiet := time.Since(since); quiet < 10*time.Second {
			return fmt.Errorf("quiet for %s only", quiet)
		}
		return nil
	})
	if len(before) < 20 {
		t.Fatalf("saw %d objects only: %v", len(before), before)
	}
	const watched = 5 * time.Minute
	for end := time.Now().Add(watched); time.Now().Before(end) && !t.Failed(); time.Sleep(5 * time.Second) {
		if diff := cmp.Diff(before, harness.Must(versions(t.Context(), c.Namespace))(t)); diff != "" {
			t.Errorf("changed within %s (-before +after):\n%s", watched, diff)
		}
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
