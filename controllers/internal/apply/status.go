package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
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

// HasForeignStatus reports whether others hold some of the status of a cluster.
func HasForeignStatus(cluster metav1.Object) bool {
	return slices.ContainsFunc(cluster.GetManagedFields(), isForeignStatus)
}

func isForeignStatus(entry metav1.ManagedFieldsEntry) bool {
	return entry.Subresource == "status" && !(entry.Operation == metav1.ManagedFieldsOperationApply && slices.Contains(statusOwners, entry.Manager))
}

// TakeOverStatus gives what others hold of the status of a cluster to the manager, and of
// status.mesh to the probe. What is applied next removes what it does not have. Otherwise a
// field that somebody has written would stay for good, and of an element of a list that we
// remove only its key, which the API server refuses: the status would stay as it was.
func (a *Applier) TakeOverStatus(ctx context.Context, cluster *v1alpha1.ErlangCluster) error {
	gvk := v1alpha1.SchemeGroupVersion.WithKind("ErlangCluster")
	live, err := a.metadata(ctx, gvk, client.ObjectKeyFromObject(cluster))
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	managed, former, err := statusTakenOver(live.GetManagedFields())
	if err != nil || len(former) == 0 {
		return err
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": cluster.UID, "resourceVersion": live.GetResourceVersion(), "managedFields": managed}})
	if err != nil {
		return err
	}
	// The API server ignores managed fields in a request to a subresource.
	if err := a.Client.Patch(ctx, live, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("take over the status fields of %v: %w", former, err)
	}
	log.FromContext(ctx).Info("Restored the status", "changedBy", former)
	return nil
}

// statusTakenOver are the managed fields of a cluster when its status belongs to the manager
// and the probe alone, and the managers that held some of it.
func statusTakenOver(entries []metav1.ManagedFieldsEntry) (managed []metav1.ManagedFieldsEntry, former []string, err error) {
	owned := map[string]*fieldpath.Set{}
	for _, owner := range statusOwners {
		owned[owner] = fieldpath.NewSet()
	}
	for _, entry := range entries {
		if entry.Subresource != "status" {
			managed = append(managed, entry)
			continue
		}
		fields, err := fieldsOf(entry)
		if err != nil {
			return nil, nil, err
		}
		if isForeignStatus(entry) {
			former = append(former, entry.Manager)
			shareOut(fields, owned)
		} else {
			owned[entry.Manager] = owned[entry.Manager].Union(fields)
		}
	}
	for _, owner := range statusOwners {
		if owned[owner].Empty() {
			continue
		}
		fields, err := rawFields(owned[owner])
		if err != nil {
			return nil, nil, err
		}
		managed = append(managed, metav1.ManagedFieldsEntry{Manager: owner, Operation: metav1.ManagedFieldsOperationApply, Subresource: "status",
			APIVersion: v1alpha1.SchemeGroupVersion.String(), FieldsType: "FieldsV1", FieldsV1: fields})
	}
	return managed, former, nil
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
