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

// KeepForeignFields keeps of the managed fields of an object that other managers than ours hold some of
// its content, which is to be restored, and of which fields at the top: however many there are below.
func KeepForeignFields(object metav1.Object) {
	var foreign []metav1.ManagedFieldsEntry
	for _, entry := range object.GetManagedFields() {
		content, err := foreignContent(entry)
		if err != nil || content.Empty() {
			continue
		}
		if entry.FieldsV1, err = rawFields(topOf(content)); err == nil {
			foreign = append(foreign, entry)
		}
	}
	object.SetManagedFields(foreign)
}

func topOf(fields *fieldpath.Set) *fieldpath.Set {
	top := fieldpath.NewSet()
	fields.Iterate(func(path fieldpath.Path) { top.Insert(path[:1].Copy()) })
	return top
}

// foreignContent is what an entry of another manager holds of the content of an object.
// Metadata and status are not the content, nor are the scale and other subresources.
func foreignContent(entry metav1.ManagedFieldsEntry) (*fieldpath.Set, error) {
	content := fieldpath.NewSet()
	if isOwnApply(entry) || entry.Subresource != "" || entry.FieldsV1 == nil {
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
// follows removes what is not in our configuration, as it would of our own. Unless that is
// new, it pauses where another manager does the same again and again.
func (a *Applier) takeOver(ctx context.Context, observed state.State, existing state.Object, isNew bool) (paused bool, err error) {
	gvk, contests := existing.GetObjectKind().GroupVersionKind(), a.contestsOf(observed)
	if !isEdited(existing) {
		return false, nil
	}
	if !isNew && observed.Now.Before(contests[idOf(existing)].Again) {
		return true, nil
	}
	live, err := a.metadata(ctx, gvk, client.ObjectKeyFromObject(existing.(client.Object)))
	if err != nil {
		return false, client.IgnoreNotFound(err)
	}
	taken, err := takenOver(live.GetManagedFields(), gvk)
	if err != nil || len(taken.former) == 0 {
		return false, err
	}
	if err := a.writeManagedFields(ctx, existing, live, taken); err != nil {
		return false, err
	}
	contests.restored(idOf(existing), taken.former, taken.fields, observed.Now)
	log.FromContext(ctx).Info("Restored an object", "kind", gvk.Kind, "object", existing.GetName(), "changedBy", taken.former)
	return false, nil
}

func (a *Applier) writeManagedFields(ctx context.Context, existing state.Object, live *metav1.PartialObjectMetadata, taken takeover) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": existing.GetUID(), "resourceVersion": live.GetResourceVersion(), "managedFields": taken.managed}})
	if err != nil {
		return err
	}
	if err := a.Client.Patch(ctx, live, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("take over the fields of %v: %w", taken.former, err)
	}
	return nil
}

// restorable are the kinds whose content is ours alone. That of Secrets is cert-manager's,
// and some Kubernetes add pull secrets to ServiceAccounts.
func restorable(gvk schema.GroupVersionKind) bool {
	return gvk.Kind != "ServiceAccount" && gvk != corev1.SchemeGroupVersion.WithKind("Secret")
}

// isEdited reports whether an object has content of others that is to be removed.
func isEdited(object state.Object) bool {
	return restorable(object.GetObjectKind().GroupVersionKind()) && slices.ContainsFunc(object.GetManagedFields(), func(entry metav1.ManagedFieldsEntry) bool {
		content, err := foreignContent(entry)
		return err == nil && !content.Empty()
	})
}

// A takeover has the managed fields of an object when all of its content is ours, and the
// managers that held some of it, with these fields.
type takeover struct {
	managed []metav1.ManagedFieldsEntry
	former  []string
	fields  *fieldpath.Set
}

func takenOver(entries []metav1.ManagedFieldsEntry, gvk schema.GroupVersionKind) (taken takeover, err error) {
	ours := metav1.ManagedFieldsEntry{Manager: FieldOwner, Operation: metav1.ManagedFieldsOperationApply,
		APIVersion: gvk.GroupVersion().String(), FieldsType: "FieldsV1"}
	content := fieldpath.NewSet()
	taken.fields = fieldpath.NewSet()
	for _, entry := range entries {
		fields, err := fieldsOf(entry)
		if err != nil {
			return takeover{}, err
		}
		if isOwnApply(entry) {
			ours.Time, content = entry.Time, content.Union(fields)
			continue
		}
		foreign, err := foreignContent(entry)
		if err != nil {
			return takeover{}, err
		}
		if !foreign.Empty() {
			taken.former, taken.fields = append(taken.former, entry.Manager), taken.fields.Union(foreign)
			if fields = fields.Difference(foreign); fields.Empty() {
				continue
			}
			if entry.FieldsV1, err = rawFields(fields); err != nil {
				return takeover{}, err
			}
		}
		taken.managed = append(taken.managed, entry)
	}
	if ours.FieldsV1, err = rawFields(content.Union(taken.fields)); err != nil {
		return takeover{}, err
	}
	taken.managed = append(taken.managed, ours)
	return taken, nil
}

func rawFields(fields *fieldpath.Set) (*metav1.FieldsV1, error) {
	text, err := fields.ToJSON()
	if err != nil {
		return nil, fmt.Errorf("write managed fields: %w", err)
	}
	return metav1.NewFieldsV1(string(text)), nil
}
