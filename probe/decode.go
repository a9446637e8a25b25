package probe

import (
	"context"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// decoder reads the cluster, and remembers it.
type decoder struct {
	reader client.Reader
	last   *v1alpha1.ErlangCluster
}

// get reads the cluster, which nobody changes. If its spec cannot be decoded, the last one that
// could be stays in force, because the nodes run with it; nil if there is none.
func (d *decoder) get(ctx context.Context, key client.ObjectKey) (*v1alpha1.ErlangCluster, error) {
	object := v1alpha1.NewUnstructured()
	if err := d.reader.Get(ctx, key, object, client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	if d.last != nil && d.last.UID == object.GetUID() && d.last.ResourceVersion == object.GetResourceVersion() {
		return d.last, nil
	}
	cluster, err := v1alpha1.Decode(object)
	if err == nil {
		d.last = cluster
		return cluster, nil
	}
	logr.FromContextOrDiscard(ctx).Error(err, "Cannot decode the ErlangCluster, and continuing with the last spec that could be decoded")
	if d.last == nil || d.last.UID != cluster.UID {
		return nil, nil
	}
	cluster.Spec, cluster.Generation = d.last.Spec, d.last.Generation
	return cluster, nil
}
