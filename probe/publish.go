package probe

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// fieldOwner owns status.mesh, and nothing else.
const fieldOwner = client.FieldOwner("erlang-operator-probe")

// publish writes status.mesh of the very cluster that was looked at: one of the
// same name that came after it is not touched.
func publish(ctx context.Context, c client.Client, cluster *v1alpha1.ErlangCluster, mesh *v1alpha1.MeshStatus) error {
	status, err := cluster.ApplyStatus(&struct {
		Mesh *v1alpha1.MeshStatus `json:"mesh"`
	}{mesh})
	if err != nil {
		return err
	}
	if err := c.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(status), fieldOwner, client.ForceOwnership); err != nil {
		return fmt.Errorf("report the mesh: %w", err)
	}
	return nil
}
