package probe

import (
	"context"
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// stored is a reader that holds one object.
type stored struct {
	client.Reader
	object map[string]any
}

func (s *stored) Get(_ context.Context, _ client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	object.(*unstructured.Unstructured).Object = s.object
	return nil
}

// With a spec that cannot be decoded the probe goes on with the last one that could be.
func TestUndecodableSpecLeavesTheLastInForce(t *testing.T) {
	version := func(uid string, generation int64, replicas any) map[string]any {
		return map[string]any{
			"metadata": map[string]any{"name": "chat", "uid": uid, "generation": generation, "resourceVersion": fmt.Sprint(uid, generation)},
			"spec":     map[string]any{"replicas": replicas},
		}
	}
	reader := &stored{object: version("first", 1, "many")}
	decoder := decoder{reader: reader}
	if cluster, err := decoder.get(t.Context(), client.ObjectKey{}); cluster != nil || err != nil {
		t.Errorf("before any could be decoded: %v, %v", cluster, err)
	}
	reader.object = version("first", 2, int64(3))
	if cluster, err := decoder.get(t.Context(), client.ObjectKey{}); err != nil || *cluster.Spec.Replicas != 3 || cluster.Generation != 2 {
		t.Errorf("decoded %v, %v", cluster, err)
	}
	reader.object = version("first", 3, "many")
	if cluster, err := decoder.get(t.Context(), client.ObjectKey{}); err != nil || *cluster.Spec.Replicas != 3 || cluster.Generation != 2 {
		t.Errorf("undecodable: %v, %v, want the last spec and its generation", cluster, err)
	}
	reader.object = version("second", 1, "many")
	if cluster, err := decoder.get(t.Context(), client.ObjectKey{}); cluster != nil || err != nil {
		t.Errorf("the spec of a deleted cluster is in force: %v, %v", cluster, err)
	}
}
