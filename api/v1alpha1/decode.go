package v1alpha1

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
)

// A DecodeError is a field that the API server accepted and that the Go types cannot hold,
// such as a number out of range. A typed watch stops at such an object, for all objects;
// ErlangClusters are therefore watched as unstructured objects, and decoded one by one.
//
// +kubebuilder:object:generate=false
type DecodeError struct {
	Field string
	Err   error
}

func (e *DecodeError) Error() string { return fmt.Sprintf("%s: %v", e.Field, e.Err) }

func (e *DecodeError) Unwrap() error { return e.Err }

// NewUnstructured returns an empty ErlangCluster that is not decoded yet.
func NewUnstructured() *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(GroupVersionKind)
	return object
}

// NewUnstructuredList returns an empty list of ErlangClusters that are not decoded yet.
func NewUnstructuredList() *unstructured.UnstructuredList {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(SchemeGroupVersion.WithKind("ErlangClusterList"))
	return list
}

// Decode decodes an ErlangCluster. With a DecodeError it also returns the cluster without
// its spec, or without spec and status if the status is at fault.
func Decode(object *unstructured.Unstructured) (*ErlangCluster, error) {
	if cluster := decodePacked(object); cluster != nil {
		return cluster, nil
	}
	content, err := unpacked(object)
	if err != nil {
		return &ErlangCluster{}, &DecodeError{Field: packed, Err: err}
	}
	cluster := &ErlangCluster{}
	if err = decode(content, cluster); err == nil {
		return cluster, nil
	}
	field, cause := undecodable(content, func(value any) error { return decode(value, &ErlangCluster{}) })
	if cause == nil {
		field, cause = "spec", err
	}
	remaining := maps.Clone(content)
	for _, part := range []string{"spec", "status"} {
		delete(remaining, part)
		cluster = &ErlangCluster{}
		if decode(remaining, cluster) == nil {
			break
		}
	}
	return cluster, &DecodeError{Field: strings.TrimPrefix(field, "."), Err: cause}
}

// decodePacked decodes a packed object; nil when it is not packed, or cannot be decoded.
func decodePacked(object *unstructured.Unstructured) *ErlangCluster {
	text, isPacked := object.Object[packed].(string)
	mesh, _ := object.Object[packedMesh].(string)
	cluster := &ErlangCluster{}
	if !isPacked || decode(map[string]any{"apiVersion": object.GetAPIVersion(), "kind": object.GetKind(), "metadata": object.Object["metadata"]}, cluster) != nil ||
		json.Unmarshal([]byte(text), cluster) != nil || json.Unmarshal([]byte(mesh), &cluster.Status.Mesh) != nil {
		return nil
	}
	return cluster
}

func decode(value any, into any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// undecodable finds the first field that cannot be decoded by itself, and why.
func undecodable(value any, decode func(any) error) (field string, cause error) {
	switch value := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			alone := func(child any) error { return decode(map[string]any{key: child}) }
			if alone(value[key]) != nil {
				field, cause = undecodable(value[key], alone)
				return "." + key + field, cause
			}
		}
	case []any:
		for i, element := range value {
			alone := func(child any) error { return decode([]any{child}) }
			if alone(element) != nil {
				field, cause = undecodable(element, alone)
				return fmt.Sprintf("[%d]%s", i, field), cause
			}
		}
	}
	return "", decode(value)
}
