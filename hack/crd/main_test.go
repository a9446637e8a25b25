package main

import (
	"os"
	"testing"

	"sigs.k8s.io/yaml"
)

// No quantity of the CustomResourceDefinition has any length, or an exponent of any size.
func TestQuantitiesAreBounded(t *testing.T) {
	text, err := os.ReadFile("../../config/crd/bases/erlang-operator.dev_erlangclusters.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var definition map[string]any
	if err := yaml.Unmarshal(text, &definition); err != nil {
		t.Fatal(err)
	}
	quantities := 0
	eachSchema(definition, "", func(path string, schema map[string]any) {
		if schema["x-kubernetes-int-or-string"] != true || schema["pattern"] == nil {
			return
		}
		quantities++
		if schema["pattern"] != quantity || schema["maxLength"] == nil {
			t.Errorf("%s has the pattern %v and the maxLength %v", path, schema["pattern"], schema["maxLength"])
		}
	})
	if quantities < 10 {
		t.Errorf("found %d quantities, want at least 10", quantities)
	}
}

func eachSchema(value any, path string, visit func(path string, schema map[string]any)) {
	switch value := value.(type) {
	case map[string]any:
		visit(path, value)
		for key, below := range value {
			eachSchema(below, path+"."+key, visit)
		}
	case []any:
		for _, below := range value {
			eachSchema(below, path, visit)
		}
	}
}
