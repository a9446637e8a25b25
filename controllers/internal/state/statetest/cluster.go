package statetest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"sigs.k8s.io/yaml"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// Cluster reads an ErlangCluster as a user writes it, and sets what the API server
// would: the defaults of the CRD, namespace, UID and generation.
func Cluster(text []byte) (*v1alpha1.ErlangCluster, error) {
	schema, err := schemaOfCluster()
	if err != nil {
		return nil, err
	}
	var object map[string]any
	if err := yaml.Unmarshal(text, &object); err != nil {
		return nil, fmt.Errorf("read ErlangCluster: %w", err)
	}
	defaulting.Default(object, schema)
	defaulted, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	cluster := &v1alpha1.ErlangCluster{}
	if err := yaml.UnmarshalStrict(defaulted, cluster); err != nil {
		return nil, fmt.Errorf("read ErlangCluster: %w", err)
	}
	if cluster.Namespace == "" {
		cluster.Namespace = "default"
	}
	cluster.UID = "7d3a1c62-0b0e-4a57-9d8e-1f5b3d1a2c40"
	cluster.Generation = 1
	return cluster, nil
}

// MustCluster is Cluster for texts that are known to be right.
func MustCluster(text string) *v1alpha1.ErlangCluster {
	cluster, err := Cluster([]byte(text))
	if err != nil {
		panic(err)
	}
	return cluster
}

// schemaOfCluster is the schema of ErlangClusters, from the CRD of this repository.
var schemaOfCluster = sync.OnceValues(func() (*structuralschema.Structural, error) {
	_, here, _, _ := runtime.Caller(0)
	file := filepath.Join(filepath.Dir(here), "../../../../config/crd/bases/erlang-operator.dev_erlangclusters.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the CRD (`make generate` writes it): %w", err)
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(text, &crd); err != nil {
		return nil, fmt.Errorf("read the CRD %s: %w", file, err)
	}
	var schema apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(
		crd.Spec.Versions[0].Schema.OpenAPIV3Schema, &schema, nil); err != nil {
		return nil, fmt.Errorf("convert the schema of the CRD: %w", err)
	}
	return structuralschema.NewStructural(&schema)
})
