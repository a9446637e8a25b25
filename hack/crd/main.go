// Command crd post-processes the CustomResourceDefinition of controller-gen: it drops
// the descriptions below the pod template, the volume claims and some fields of the probe,
// which are Kubernetes' own (`kubectl explain pod.spec`). Without them the definition fits into the annotation
// of a client-side `kubectl apply`, which is limited to 256 KiB.
//
// It also bounds what Kubernetes' types leave open there, so that the API server rejects
// what Go could not decode: exponents of quantities, numbers of ports, and the status of a
// volume claim, with its times.
package main

import (
	"fmt"
	"os"

	"sigs.k8s.io/yaml"
)

// foreign lists the fields of the spec whose schemas are Kubernetes' own.
var foreign = [][]string{
	{"template"}, {"volumeClaimTemplates"}, {"probe", "resources"}, {"probe", "tolerations"}, {"probe", "affinity"},
	{"probe", "topologySpreadConstraints"}, {"probe", "imagePullSecrets"},
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: crd FILE")
		os.Exit(2)
	}
	if err := finish(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "crd:", err)
		os.Exit(1)
	}
}

func finish(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var definition map[string]any
	if err := yaml.Unmarshal(text, &definition); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	versions := definition["spec"].(map[string]any)["versions"].([]any)
	for _, version := range versions {
		schema := version.(map[string]any)["schema"].(map[string]any)["openAPIV3Schema"].(map[string]any)
		spec := properties(schema)["spec"].(map[string]any)
		for _, path := range foreign {
			schema := spec
			for _, field := range path {
				schema = properties(schema)[field].(map[string]any)
			}
			ours := schema["description"]
			dropDescriptions(schema)
			bound(schema)
			schema["description"] = ours
		}
		claim := properties(spec)["volumeClaimTemplates"].(map[string]any)["items"].(map[string]any)
		delete(properties(claim), "status")
		buffer := properties(properties(properties(spec)["distribution"].(map[string]any))["socket"].(map[string]any))["buffer"]
		bound(buffer)
		// As long as the longest that needs no exponent. Only this, and no pattern, keeps the API
		// server from the rule of this field, which would parse 1e-2147483647 for many seconds.
		buffer.(map[string]any)["maxLength"] = len("16777216")
	}
	finished, err := yaml.Marshal(definition)
	if err != nil {
		return err
	}
	return os.WriteFile(file, append([]byte("---\n"), finished...), 0o644)
}

func properties(schema map[string]any) map[string]any { return schema["properties"].(map[string]any) }

// quantity is a number with an SI suffix or a whole exponent of at most two digits.
const quantity = `^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?[0-9]{1,2}))?$`

// bound bounds quantities, which have a pattern, and what else may be a number or a
// string, which are ports.
func bound(schema any) {
	switch schema := schema.(type) {
	case map[string]any:
		if schema["x-kubernetes-int-or-string"] == true && schema["pattern"] != nil {
			schema["pattern"], schema["maxLength"] = quantity, 64
		} else if schema["x-kubernetes-int-or-string"] == true {
			schema["minimum"], schema["maximum"] = 1, 65535
		}
		for _, below := range schema {
			bound(below)
		}
	case []any:
		for _, below := range schema {
			bound(below)
		}
	}
}

// dropDescriptions drops the descriptions of a schema and of all schemas below it. A
// field named description is a map, and is kept.
func dropDescriptions(schema any) {
	switch schema := schema.(type) {
	case map[string]any:
		if _, text := schema["description"].(string); text {
			delete(schema, "description")
		}
		for _, below := range schema {
			dropDescriptions(below)
		}
	case []any:
		for _, below := range schema {
			dropDescriptions(below)
		}
	}
}
