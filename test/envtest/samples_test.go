package envtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// The API server accepts every object of the samples, with no field that it does not know.
// Each sample has one ErlangCluster, a comment that says what it is for, and a line in the list.
func TestSamplesAreValid(t *testing.T) {
	directory := filepath.Join(repository(), "config/samples")
	list := string(must(os.ReadFile(filepath.Join(directory, "README.md")))(t))
	files, err := filepath.Glob(filepath.Join(directory, "*.yaml"))
	if err != nil || len(files) < 12 {
		t.Fatalf("%d samples: %v", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		if name == "kustomization.yaml" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			text, clusters := string(must(os.ReadFile(file))(t)), 0
			for _, document := range strings.Split(text, "\n---\n") {
				clusters += strings.Count(document, "\nkind: ErlangCluster\n")
				trySample(t, document, newNamespace(t))
			}
			if clusters != 1 || !strings.HasPrefix(text, "# ") || !strings.Contains(list, "]("+name+")") {
				t.Errorf("%d ErlangClusters, comment: %t, in README.md: %t", clusters, strings.HasPrefix(text, "# "), strings.Contains(list, "]("+name+")"))
			}
		})
	}
}

// trySample tries an object out, in a namespace if its kind has one.
func trySample(t *testing.T, document, namespace string) {
	t.Helper()
	object := &unstructured.Unstructured{}
	check(t, yaml.UnmarshalStrict([]byte(document), &object.Object))
	if object.GetKind() != "Namespace" {
		object.SetNamespace(namespace)
	}
	if err := admin.Create(t.Context(), object, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict)); err != nil {
		t.Errorf("%s %s: %v", object.GetKind(), object.GetName(), err)
	}
}
