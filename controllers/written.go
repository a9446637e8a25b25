package controllers

import (
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// written is the status of a cluster as this manager has written it last.
type written struct {
	cluster types.UID
	version string
	status  v1alpha1.ErlangClusterStatus
}

// catchUp gives a cluster the status that was written last, if the cache does not have that
// yet. Otherwise the same change would be written, and recorded as an event, twice.
func (r *Reconciler) catchUp(cluster *v1alpha1.ErlangCluster) {
	known, _ := r.written.Load(client.ObjectKeyFromObject(cluster))
	last, ok := known.(written)
	if !ok || last.cluster != cluster.UID {
		return
	}
	if order, err := resourceversion.CompareResourceVersion(cluster.ResourceVersion, last.version); err != nil || order >= 0 {
		r.written.Delete(client.ObjectKeyFromObject(cluster)) // The cache has it, and goes back no further. No other worker has this cluster.
		return
	}
	mesh := cluster.Status.Mesh // The probe writes it.
	last.status.DeepCopyInto(&cluster.Status)
	cluster.Status.Mesh = mesh
}
