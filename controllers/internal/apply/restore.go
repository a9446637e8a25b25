package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// FieldOwner is the manager's name in server-side apply.
const FieldOwner = "erlang-operator"

// restartedAt is set by `kubectl rollout restart`, which people may use.
var restartedAt = fieldpath.MakePathOrDie("spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt")

// KeepForeignFields keeps of the managed fields of an object what other managers than ours
// hold of its content, which is to be restored.
func KeepForeignFields(object metav1.Object) {
	object.SetManagedFields(slices.DeleteFunc(object.GetManagedFields(), func(entry metav1.ManagedFieldsEntry) bool {
		content, err := foreignContent(entry)
		return err != nil || content.Empty()
	}))
}

// foreignContent is what an entry of another manager holds of the content of an object.
// Metadata and status are not the content, nor are the scale and other subresources.
func foreignContent(entry metav1.ManagedFieldsEntry) (*fieldpath.Set, error) {
	content := fieldpath.NewSet()
	if entry.Manager == FieldOwner && entry.Operation == metav1.ManagedFieldsOperationApply || entry.Subresource != "" || entry.FieldsV1 == nil {
		return content, nil
	}
	all, err := fieldsOf(entry)
	if err != nil {
		return nil, err
	}
	all.Iterate(func(path fieldpath.Path) {
		first := path[0].FieldName
		if first != nil && !slices.Contains([]string{"apiVersion", "kind", "metadata", "status"}, *first) && !path.Equals(restartedAt) {
			content.Insert(path.Copy())
		}
	})
	return content, nil
}

func fieldsOf(entry metav1.ManagedFieldsEntry) (*fieldpath.Set, error) {
	fields := fieldpath.NewSet()
	if entry.FieldsV1 == nil {
		return fields, nil
	}
	if err := fields.FromJSON(entry.FieldsV1.GetRawReader()); err != nil {
		return nil, fmt.Errorf("read the fields of manager %s: %w", entry.Manager, err)
	}
	return fields, nil
}

// takeOver makes the content that other managers hold of an object ours. The apply that
// follows removes what is not in our configuration, as it would of our own.
func (a *Applier) takeOver(ctx context.Context, existing state.Object) error {
	gvk := existing.GetObjectKind().GroupVersionKind()
	if !restorable(gvk) || !hasForeignContent(existing) {
		return nil
	}
	live, err := a.metadata(ctx, gvk, client.ObjectKeyFromObject(existing.(client.Object)))
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	managed, former, err := takenOver(live.GetManagedFields(), gvk)
	if err != nil || len(former) == 0 {
		return err
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": existing.GetUID(), "resourceVersion": live.GetResourceVersion(), "managedFields": managed}})
	if err != nil {
		return err
	}
	if err := a.Client.Patch(ctx, live, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("take over the fields of %v: %w", former, err)
	}
	log.FromContext(ctx).Info("Restored an object", "kind", gvk.Kind, "object", existing.GetName(), "changedBy", former)
	return nil
}

// restorable are the kinds whose content is ours alone. That of Secrets is cert-manager's,
// and some Kubernetes add pull secrets to ServiceAccounts.
func restorable(gvk schema.GroupVersionKind) bool {
	return gvk.Kind != "ServiceAccount" && gvk != corev1.SchemeGroupVersion.WithKind("Secret")
}

func hasForeignContent(object metav1.Object) bool {
	return slices.ContainsFunc(object.GetManagedFields(), func(entry metav1.ManagedFieldsEntry) bool {
		content, err := foreignContent(entry)
		return err == nil && !content.Empty()
	})
}

// takenOver are the managed fields of an object when all of its content is ours, and the
// managers that held some of it.
func takenOver(entries []metav1.ManagedFieldsEntry, gvk schema.GroupVersionKind) (managed []metav1.ManagedFieldsEntry, former []string, err error) {
	ours := metav1.ManagedFieldsEntry{Manager: FieldOwner, Operation: metav1.ManagedFieldsOperationApply,
		APIVersion: gvk.GroupVersion().String(), FieldsType: "FieldsV1"}
	content := fieldpath.NewSet()
	for _, entry := range entries {
		fields, err := fieldsOf(entry)
		if err != nil {
			return nil, nil, err
		}
		if entry.Manager == FieldOwner && entry.Operation == metav1.ManagedFieldsOperationApply && entry.Subresource == "" {
			ours.Time, content = entry.Time, content.Union(fields)
			continue
		}
		foreign, err := foreignContent(entry)
		if err != nil {
			return nil, nil, err
		}
		if !foreign.Empty() {
			former, content = append(former, entry.Manager), content.Union(foreign)
			if fields = fields.Difference(foreign); fields.Empty() {
				continue
			}
			if entry.FieldsV1, err = rawFields(fields); err != nil {
				return nil, nil, err
			}
		}
		managed = append(managed, entry)
	}
	if ours.FieldsV1, err = rawFields(content); err != nil {
		return nil, nil, err
	}
	return append(managed, ours), former, nil
}

func rawFields(fields *fieldpath.Set) (*metav1.FieldsV1, error) {
	text, err := fields.ToJSON()
	if err != nil {
		return nil, fmt.Errorf("write managed fields: %w", err)
	}
	return metav1.NewFieldsV1(string(text)), nil
}
