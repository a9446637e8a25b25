package v1alpha1

import (
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
)

// packed and packedMesh have spec and status of a packed object, and status.mesh, as JSON. The API
// has no such fields.
const (
	packed     = "packed"
	packedMesh = "packedMesh"
)

// Pack replaces spec and status of an ErlangCluster by their JSON, which takes a tenth of the
// memory and needs no deep copy. Decode takes an object in either form. The fields that are
// strings and are named, such as spec.tls.delivery, can still be read by StringField.
func Pack(object *unstructured.Unstructured, fields ...string) error {
	if _, done := object.Object[packed].(string); done {
		return nil
	}
	content := map[string]any{}
	for _, part := range []string{"spec", "status"} {
		if value, ok := object.Object[part]; ok {
			content[part] = value
		}
	}
	mesh, err := Mesh(object)
	if err != nil {
		return err
	}
	unstructured.RemoveNestedField(content, "status", "mesh")
	text, err := json.Marshal(content)
	if err != nil {
		return err
	}
	kept := map[string]any{packed: string(text), packedMesh: mesh}
	for _, field := range fields {
		if value := StringField(object, field); value != "" {
			kept[field] = value
		}
	}
	for _, part := range []string{"apiVersion", "kind", "metadata"} {
		kept[part] = object.Object[part]
	}
	object.Object = kept
	return nil
}

// Mesh is status.mesh of an object in either form, as JSON; null when there is none.
func Mesh(object *unstructured.Unstructured) (string, error) {
	if text, isPacked := object.Object[packedMesh].(string); isPacked {
		return text, nil
	}
	mesh, _, err := unstructured.NestedFieldNoCopy(object.Object, "status", "mesh")
	if err != nil {
		return "null", nil // It cannot be decoded.
	}
	text, err := json.Marshal(mesh)
	return string(text), err
}

// StringField is a field of an object in either form; empty when it is not set.
func StringField(object *unstructured.Unstructured, field string) string {
	if _, isPacked := object.Object[packed]; isPacked {
		value, _ := object.Object[field].(string)
		return value
	}
	value, _, _ := unstructured.NestedString(object.Object, strings.Split(field, ".")...)
	return value
}

// unpacked has spec and status as they came from the API server.
func unpacked(object *unstructured.Unstructured) (map[string]any, error) {
	text, isPacked := object.Object[packed].(string)
	if !isPacked {
		return object.Object, nil
	}
	content := map[string]any{}
	if err := json.Unmarshal([]byte(text), &content); err != nil {
		return nil, err
	}
	for _, part := range []string{"apiVersion", "kind", "metadata"} {
		content[part] = object.Object[part]
	}
	var mesh any
	if text, err := Mesh(object); err != nil || json.Unmarshal([]byte(text), &mesh) != nil || mesh == nil {
		return content, err
	}
	return content, unstructured.SetNestedField(content, mesh, "status", "mesh")
}
