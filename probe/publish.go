package probe

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	applyv1alpha1 "github.com/erlang-operator/erlang-operator/api/v1alpha1/applyconfiguration/api/v1alpha1"
)

// fieldOwner owns status.mesh, and nothing else.
const fieldOwner = client.FieldOwner("erlang-operator-probe")

// publish writes status.mesh of the very cluster that was looked at: one of the
// same name that came after it is not touched.
func publish(ctx context.Context, c client.Client, cluster *v1alpha1.ErlangCluster, mesh *v1alpha1.MeshStatus) error {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(mesh)
	if err != nil {
		return fmt.Errorf("write the mesh as an apply configuration: %w", err)
	}
	applied := applyv1alpha1.MeshStatus()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, applied); err != nil {
		return fmt.Errorf("write the mesh as an apply configuration: %w", err)
	}

	report := applyv1alpha1.ErlangCluster(cluster.Name, cluster.Namespace).
		WithUID(cluster.UID).
		WithStatus(applyv1alpha1.ErlangClusterStatus().WithMesh(applied))
	if err := c.Status().Apply(ctx, report, fieldOwner, client.ForceOwnership); err != nil {
		return fmt.Errorf("report the mesh: %w", err)
	}
	return nil
}
