package apply

import (
	"context"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// statusOwners own the whole status between them, each by server-side apply.
var statusOwners = []string{FieldOwner, v1alpha1.ProbeFieldOwner}

// KeepForeignStatus keeps of the managed fields of an ErlangCluster which other managers
// hold some of its status.
func KeepForeignStatus(cluster metav1.Object) {
	entries := slices.DeleteFunc(cluster.GetManagedFields(), func(entry metav1.ManagedFieldsEntry) bool { return !isForeignStatus(entry) })
	for i := range entries {
		entries[i].FieldsV1 = nil
	}
	cluster.SetManagedFields(entries)
}

func isForeignStatus(entry metav1.ManagedFieldsEntry) bool {
	ours := entry.Operation == metav1.ManagedFieldsOperationApply && slices.Contains(statusOwners, entry.Manager)
	return entry.Subresource == "status" && !ours
}

// RestoresStatus reports whether others hold some of the status of a cluster, and it is to be
// restored now.
func (a *Applier) RestoresStatus(cluster *v1alpha1.ErlangCluster, now time.Time) bool {
	contest := a.contestsOf(state.State{Cluster: cluster})[statusID(cluster)]
	return slices.ContainsFunc(cluster.GetManagedFields(), isForeignStatus) && !now.Before(contest.Again)
}

func statusID(cluster *v1alpha1.ErlangCluster) objectID {
	return objectID{v1alpha1.Kind, cluster.Name}
}

// TakeOverStatus gives what others hold of the status of a cluster to the manager, and of
// status.mesh to the probe. What is applied next removes what it does not have. Otherwise a
// field that somebody has written would stay for good, and of an element of a list that we
// remove only its key, which the API server refuses: the status would stay as it was.
func (a *Applier) TakeOverStatus(ctx context.Context, cluster *v1alpha1.ErlangCluster, now time.Time) error {
	gvk := v1alpha1.GroupVersionKind
	live, err := a.metadata(ctx, gvk, client.ObjectKeyFromObject(cluster))
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	taken, err := statusTakenOver(live.GetManagedFields())
	if err != nil || len(taken.former) == 0 {
		return err
	}
	// On the cluster: the API server ignores managed fields in a request to a subresource.
	if err := a.writeManagedFields(ctx, cluster, live, taken); err != nil {
		return err
	}
	a.contestsOf(state.State{Cluster: cluster}).restored(statusID(cluster), taken.former, taken.fields, now)
	log.FromContext(ctx).Info("Restored the status", "changedBy", taken.former)
	return nil
}

// statusTakenOver has the managed fields of a cluster when its status belongs to the manager
// and the probe alone.
func statusTakenOver(entries []metav1.ManagedFieldsEntry) (taken takeover, err error) {
	owned := map[string]*fieldpath.Set{}
	for _, owner := range statusOwners {
		owned[owner] = fieldpath.NewSet()
	}
	taken.fields = fieldpath.NewSet()
	for _, entry := range entries {
		if entry.Subresource != "status" {
			taken.managed = append(taken.managed, entry)
			continue
		}
		fields, err := fieldsOf(entry)
		if err != nil {
			return takeover{}, err
		}
		if isForeignStatus(entry) {
			taken.former, taken.fields = append(taken.former, entry.Manager), taken.fields.Union(fields)
		} else {
			owned[entry.Manager] = owned[entry.Manager].Union(fields)
		}
	}
	shareOut(taken.fields, owned)
	for _, owner := range statusOwners {
		if owned[owner].Empty() {
			continue
		}
		fields, err := rawFields(owned[owner])
		if err != nil {
			return takeover{}, err
		}
		taken.managed = append(taken.managed, metav1.ManagedFieldsEntry{Manager: owner, Operation: metav1.ManagedFieldsOperationApply, Subresource: "status",
			APIVersion: v1alpha1.SchemeGroupVersion.String(), FieldsType: "FieldsV1", FieldsV1: fields})
	}
	return taken, nil
}

// shareOut adds fields of the status to those of their owners.
func shareOut(fields *fieldpath.Set, owned map[string]*fieldpath.Set) {
	mesh := fieldpath.MakePathOrDie("status", "mesh")
	fields.Iterate(func(path fieldpath.Path) {
		owner := FieldOwner
		if len(path) >= len(mesh) && path[:len(mesh)].Equals(mesh) {
			owner = v1alpha1.ProbeFieldOwner
		}
		owned[owner].Insert(path.Copy())
	})
}
