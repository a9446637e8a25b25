package controllers

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// getCluster reads and decodes an ErlangCluster. A cluster comes with a
// v1alpha1.DecodeError too, and then without its spec.
func getCluster(ctx context.Context, reader client.Reader, key client.ObjectKey) (*v1alpha1.ErlangCluster, error) {
	object := v1alpha1.NewUnstructured()
	if err := reader.Get(ctx, key, object); err != nil {
		return nil, err
	}
	return v1alpha1.Decode(object)
}
