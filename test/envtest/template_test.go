package envtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// A field that the user removes from the template must leave nothing behind: neither an
// alias that the API server has set beside it, nor a default that followed from it. The
// StatefulSet is then as one that was made without the field.
func TestRemovedFieldsLeaveNothingBehind(t *testing.T) {
	text := must(os.ReadFile("testdata/template.yaml"))(t)
	var template map[string]any
	check(t, yaml.Unmarshal(text, &template))
	namespace := newNamespace(t)
	w := walker{namespace: namespace, set: &appsv1.StatefulSet{ObjectMeta: named(namespace, "chat")}}
	if err := w.try(t, template); err != nil && !served.PodCertificates {
		t.Skip("this Kubernetes does not have all fields of the template: ", err)
	} else if err != nil {
		t.Fatalf("the API server refuses the whole template: %v", err)
	}
	startManager(t)
	cluster := object(t, namespace, minimal)
	check(t, unstructured.SetNestedField(cluster.Object, runtime.DeepCopyJSON(template), "spec", "template"))
	create(t, cluster)
	awaitStatefulSet(t, namespace, 3)
	w.await(t, "")

	removed := 0
	for paths := fieldsOf(template, nil); len(paths) > 0; {
		batch, rest := w.removable(t, template, paths)
		if len(batch) == 0 {
			break // The API server demands these.
		}
		paths = rest
		removed += len(batch)
		w.compare(t, "without "+describe(batch), template, without(template, batch...))
	}
	t.Logf("%d fields", removed)
	if removed < 150 {
		t.Errorf("only %d fields were removed", removed)
	}
	unset := [][]string{{"spec", "containers", "000", "imagePullPolicy"}}
	latest, tagged := without(template, unset...), without(template, unset...)
	tagged["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)["image"] = "example.com/chat:1"
	w.compare(t, "with another tag of the image", latest, tagged)
	w.retention = map[string]any{"whenDeleted": "Delete", "whenScaled": "Delete"}
	w.change(t, template)
	w.retention = nil
	w.compare(t, "without a retention policy", template, template)
}

// A walker takes fields out of the template of a cluster.
type walker struct {
	namespace string
	set       *appsv1.StatefulSet
	changes   int
	// retention is the persistentVolumeClaimRetentionPolicy of the cluster, if it has one.
	retention map[string]any
}

// try asks whether an ErlangCluster and a StatefulSet may have that template.
func (w *walker) try(t *testing.T, template map[string]any) error {
	t.Helper()
	cluster, set := object(t, w.namespace, minimal), object(t, w.namespace, `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: try}
spec: {serviceName: try, selector: {matchLabels: {walk: "on"}}}
`)
	cluster.SetName("try")
	labelled := runtime.DeepCopyJSON(template)
	return errors.Join(
		unstructured.SetNestedField(labelled, "on", "metadata", "labels", "walk"),
		unstructured.SetNestedField(set.Object, labelled, "spec", "template"),
		unstructured.SetNestedField(cluster.Object, runtime.DeepCopyJSON(template), "spec", "template"),
		admin.Create(t.Context(), cluster, client.DryRunAll, client.FieldValidation("Strict")),
		admin.Create(t.Context(), set, client.DryRunAll, client.FieldValidation("Strict")))
}

// removable are fields that may be removed together, and the others.
func (w *walker) removable(t *testing.T, template map[string]any, paths [][]string) (batch, rest [][]string) {
	t.Helper()
	for _, path := range paths {
		related := func(other []string) bool {
			shorter := min(len(path), len(other))
			return slices.Equal(path[:shorter], other[:shorter])
		}
		trial := without(template, append(slices.Clone(batch), path)...)
		if slices.ContainsFunc(batch, related) || hasEmpty(trial) || w.try(t, trial) != nil {
			rest = append(rest, path)
		} else {
			batch = append(batch, path)
		}
	}
	return batch, rest
}

// change gives the cluster a template, and waits for the StatefulSet to have it.
func (w *walker) change(t *testing.T, template map[string]any) {
	t.Helper()
	w.changes++
	template = runtime.DeepCopyJSON(template)
	check(t, unstructured.SetNestedField(template, strconv.Itoa(w.changes), "metadata", "annotations", "example.com/change"))
	cluster := object(t, w.namespace, minimal)
	check(t, admin.Get(t.Context(), client.ObjectKeyFromObject(cluster), cluster))
	patch := cluster.DeepCopy()
	check(t, unstructured.SetNestedField(patch.Object, template, "spec", "template"))
	if w.retention == nil {
		unstructured.RemoveNestedField(patch.Object, "spec", "persistentVolumeClaimRetentionPolicy")
	} else {
		check(t, unstructured.SetNestedField(patch.Object, w.retention, "spec", "persistentVolumeClaimRetentionPolicy"))
	}
	check(t, admin.Patch(t.Context(), patch, client.MergeFrom(cluster)))
	w.await(t, "")
}

// compare compares a StatefulSet that is changed from one template to another with one
// that is made with the latter.
func (w *walker) compare(t *testing.T, what string, from, to map[string]any) {
	t.Helper()
	w.change(t, from)
	w.change(t, to)
	changed := w.set.DeepCopy()
	check(t, admin.Delete(t.Context(), w.set, client.PropagationPolicy("Background")))
	w.await(t, string(changed.UID))
	if diff := cmp.Diff(w.set.Spec, changed.Spec); diff != "" {
		t.Errorf("%s (-made so +changed to be so):\n%s", what, diff)
	}
}

// await waits for a StatefulSet with the last template, and another UID.
func (w *walker) await(t *testing.T, other string) {
	t.Helper()
	eventually(t, fmt.Sprintf("change %d of the template", w.changes), func(ctx context.Context) error {
		w.set = &appsv1.StatefulSet{ObjectMeta: named(w.namespace, "chat")}
		if err := admin.Get(ctx, client.ObjectKeyFromObject(w.set), w.set); err != nil {
			return err
		}
		if change := w.set.Spec.Template.Annotations["example.com/change"]; w.changes > 0 && change != strconv.Itoa(w.changes) {
			cluster, err := read(ctx, clusterIn(w.namespace))
			if err != nil {
				return err
			}
			return fmt.Errorf("it has change %s: %s", change, summary(cluster))
		}
		if string(w.set.UID) == other {
			return errors.New("it is not made anew")
		}
		return nil
	})
}

// hasEmpty reports whether there is a field without content: it means as much as none.
func hasEmpty(value any) bool {
	switch value := value.(type) {
	case map[string]any:
		return len(value) == 0 || slices.ContainsFunc(slices.Collect(maps.Values(value)), hasEmpty)
	case []any:
		return len(value) == 0 || slices.ContainsFunc(value, hasEmpty)
	}
	return false
}

// fieldsOf are the paths of all fields below a value; those of a list by the index.
func fieldsOf(value any, at []string) [][]string {
	var paths [][]string
	below := func(name string, value any) {
		path := append(slices.Clone(at), name)
		paths = append(append(paths, path), fieldsOf(value, path)...)
	}
	switch value := value.(type) {
	case map[string]any:
		for name := range value {
			below(name, value[name])
		}
	case []any:
		for i := range value {
			below(fmt.Sprintf("%03d", i), value[i]) // in the order of text
		}
	}
	slices.SortFunc(paths, slices.Compare)
	return paths
}

// without is a template without these fields.
func without(template map[string]any, paths ...[]string) map[string]any {
	// From the last, so that the indexes of those before it stay.
	slices.SortFunc(paths, func(a, b []string) int { return slices.Compare(b, a) })
	var result any = runtime.DeepCopyJSON(template)
	for _, path := range paths {
		result = removeField(result, path)
	}
	return result.(map[string]any)
}

func removeField(from any, path []string) any {
	switch value := from.(type) {
	case map[string]any:
		if len(path) == 1 {
			delete(value, path[0])
		} else {
			value[path[0]] = removeField(value[path[0]], path[1:])
		}
		return value
	case []any:
		i, err := strconv.Atoi(path[0])
		if err != nil {
			panic(err)
		}
		if len(path) == 1 {
			return slices.Delete(value, i, i+1)
		}
		value[i] = removeField(value[i], path[1:])
		return value
	}
	return from
}

func describe(paths [][]string) string {
	names := make([]string, 0, len(paths))
	for _, path := range paths {
		names = append(names, strings.Join(path, "."))
	}
	return strings.Join(names, ", ")
}

// A change of the template is in progress from the first status that is about it, also when
// the probe reports on the latest spec before the manager has seen that.
func TestChangedTemplateIsInProgressAtOnce(t *testing.T) {
	namespace := newNamespace(t)
	create(t, object(t, namespace, minimal))
	m := startManager(t)
	pods, probe := startPods(t, awaitStatefulSet(t, namespace, 3), 0, 3), startProbe(t, namespace)
	probe.becomeReady(t, pods)
	settle(t)
	m.stop(t)

	patchSpec(t, namespace, func(spec *v1alpha1.ErlangClusterSpec) {
		spec.Template.Spec.Containers[0].Image = "example.com/chat:next"
	})
	changed, mesh := get(t, clusterIn(namespace)), wholeMesh(namespace, pods)
	mesh.ObservedGeneration = changed.Generation
	probe.report(t, mesh)
	watcher := must(client.NewWithWatch(environment.Config, client.Options{Scheme: scheme}))(t)
	statuses := must(watcher.Watch(t.Context(), v1alpha1.NewUnstructuredList(), client.InNamespace(namespace)))(t)
	startManager(t)
	for event := range statuses.ResultChan() {
		var cluster v1alpha1.ErlangCluster
		check(t, runtime.DefaultUnstructuredConverter.FromUnstructured(event.Object.(*unstructured.Unstructured).Object, &cluster))
		if cluster.Status.ObservedGeneration == changed.Generation {
			if !meta.IsStatusConditionTrue(cluster.Status.Conditions, v1alpha1.ConditionReconciling) {
				t.Errorf("there are %s", summary(&cluster))
			}
			return
		}
	}
	t.Error("the watch ended")
}
