package envtest

import (
	"context"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// What docs/rollouts.md says of replicas: a manifest that does not name it any more scales to the
// default, unless something else has scaled the cluster meanwhile.
func TestReplicasAreDropped(t *testing.T) {
	namespace := newNamespace(t)
	t.Cleanup(func() { check(t, admin.Delete(context.Background(), clusterIn(namespace))) })
	apply := func(patch string) {
		t.Helper()
		applied := object(t, namespace, minimal)
		unstructured.RemoveNestedField(applied.Object, "spec", "replicas")
		check(t, admin.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(merged(t, applied, patch)), client.FieldOwner("gitops")))
	}
	want := func(what string, replicas int64) {
		t.Helper()
		cluster := object(t, namespace, minimal)
		check(t, admin.Get(t.Context(), client.ObjectKeyFromObject(cluster), cluster))
		if got, _, _ := unstructured.NestedInt64(cluster.Object, "spec", "replicas"); got != replicas {
			t.Errorf("%s: replicas is %d, want %d", what, got, replicas)
		}
	}
	apply(`spec: {replicas: 5}`)
	apply(`{}`)
	want("dropped", 1)

	apply(`spec: {replicas: 5}`)
	scale := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "autoscaling/v1", "kind": "Scale"}}
	check(t, admin.SubResource("scale").Get(t.Context(), object(t, namespace, minimal), scale))
	check(t, unstructured.SetNestedField(scale.Object, int64(7), "spec", "replicas"))
	check(t, admin.SubResource("scale").Update(t.Context(), object(t, namespace, minimal), client.WithSubResourceBody(scale), client.FieldOwner("autoscaler")))
	want("scaled", 7)
	apply(`{}`)
	want("dropped after it was scaled", 7)
}
