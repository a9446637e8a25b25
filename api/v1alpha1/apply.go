package v1alpha1

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// ProbeFieldOwner is the name of the probe in server-side apply. It owns status.mesh, and
// nothing else.
const ProbeFieldOwner = "erlang-operator-probe"

// ApplyStatus returns what a field owner of the status applies by server-side apply:
// status points to a struct with the fields that it owns. The UID keeps it from a
// cluster of the same name that was created later.
func (c *ErlangCluster) ApplyStatus(status any) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(status)
	if err != nil {
		return nil, fmt.Errorf("convert the status: %w", err)
	}
	object := &unstructured.Unstructured{Object: map[string]any{"status": content}}
	object.SetGroupVersionKind(GroupVersionKind)
	object.SetNamespace(c.Namespace)
	object.SetName(c.Name)
	object.SetUID(c.UID)
	return object, nil
}
