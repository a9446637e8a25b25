package envtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// What somebody writes into the status is removed, and the status goes on. Otherwise of an
// element of a list that the manager has written too, and then removes, the key would be
// left to them, and the API server would refuse every status from then on.
func TestEditedStatusIsRestored(t *testing.T) {
	namespace := newNamespace(t)
	create(t, object(t, namespace, minimal))
	startManager(t)
	n, p := startNodes(t, namespace), startProbe(t, namespace)
	restored := func(ctx context.Context) error {
		n.ready = false // What an edit makes of the condition is seen for a moment.
		return statusEdited(ctx, namespace)
	}
	n.until(t, p, "at first", restored)
	for _, patch := range []string{
		`{"conditions":[{"type":"Stalled","status":"True","reason":"Mine","message":"","lastTransitionTime":"2020-01-01T00:00:00Z"}]}`,
		`{"nodes":"99/99","verifiedNodes":99}`,
		`{"mesh":{"nodes":[{"pod":"chat-9","node":"x","stage":"Call","reason":"Verified"}]}}`,
		`{"mesh":null}`,
		`{"rotation":[{"credential":"CA","phase":"Reissuing","since":"2020-01-01T00:00:00Z"}]}`,
	} {
		editStatus(t, namespace, patch)
		n.until(t, p, "after "+patch, restored)
	}
	// The manager writes an element that is there already, and removes it.
	n.broken, n.ready = "chat-1", false
	n.steps(t, p, 1)
	patchTLS(t, namespace, `{"ca":{"rotationID":"2026-11"}}`)
	awaitCondition(t, namespace, v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonRotatingCA)
	editStatus(t, namespace, `{"rotation":[{"credential":"CA","phase":"Reissuing","since":"2020-01-01T00:00:00Z"}]}`)
	n.broken = ""
	n.until(t, p, "after the rotation", func(ctx context.Context) error { return statusEdited(ctx, namespace) })
}

func editStatus(t *testing.T, namespace, status string) {
	t.Helper()
	patch := client.RawPatch(types.MergePatchType, []byte(`{"status":`+status+`}`))
	check(t, admin.Status().Patch(t.Context(), clusterIn(namespace), patch, client.FieldOwner("kubectl-edit")))
}

// statusEdited returns an error while the status has something that neither the manager nor
// the probe has written.
func statusEdited(ctx context.Context, namespace string) error {
	cluster, err := read(ctx, clusterIn(namespace))
	if err != nil {
		return err
	}
	for _, entry := range cluster.ManagedFields {
		if entry.Subresource == "status" && !slices.Contains([]string{"erlang-operator", v1alpha1.ProbeFieldOwner}, entry.Manager) {
			return fmt.Errorf("%s holds %s", entry.Manager, entry.FieldsV1)
		}
	}
	if status := cluster.Status; status.Nodes != "3/3" || status.Mesh == nil || len(status.Mesh.Nodes) != 3 || len(status.Rotation) > 0 {
		return errors.New("the status is not as it was")
	}
	return nil
}
