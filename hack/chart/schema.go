package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"sigs.k8s.io/yaml"
)

// addProbeSchema gives the value probe the schema of spec.probe in the CRD.
func addProbeSchema(values, crd []byte) ([]byte, error) {
	var schema, definition map[string]any
	if err := errors.Join(json.Unmarshal(values, &schema), yaml.Unmarshal(crd, &definition)); err != nil {
		return nil, fmt.Errorf("read the schemas of the values and of the CRD: %w", err)
	}
	versions, ok := at(definition, "spec")["versions"].([]any)
	if !ok || len(versions) != 1 {
		return nil, errors.New("the CRD must have one version, whose spec.probe is the schema of the value probe")
	}
	version, _ := versions[0].(map[string]any)
	probe := at(version, "schema", "openAPIV3Schema", "properties", "spec", "properties", "probe")
	properties := at(schema, "properties")
	if probe == nil || properties["probe"] == nil {
		return nil, errors.New("the CRD has no spec.probe, or the chart no value probe")
	}
	closeSchema(probe)
	properties["probe"] = probe
	return json.MarshalIndent(schema, "", "  ")
}

// at is the object at a path, or nil.
func at(object map[string]any, path ...string) map[string]any {
	for _, key := range path {
		object, _ = object[key].(map[string]any)
	}
	return object
}

// closeSchema has a schema refuse fields that it does not name, which the API server drops with
// a warning only, and leaves out what only the API server understands.
func closeSchema(schema map[string]any) {
	maps.DeleteFunc(schema, func(key string, _ any) bool {
		return key == "description" || strings.HasPrefix(key, "x-kubernetes-")
	})
	if properties := at(schema, "properties"); properties != nil {
		schema["additionalProperties"] = false
		for name := range properties {
			closeSchema(at(properties, name))
		}
	}
	for _, key := range []string{"items", "additionalProperties"} {
		if inner := at(schema, key); inner != nil {
			closeSchema(inner)
		}
	}
}
