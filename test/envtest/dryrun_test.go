package envtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// The API server accepts every object of the golden plans.
func TestGoldenPlansAreValid(t *testing.T) {
	check(t, admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}))
	files, err := filepath.Glob(filepath.Join(repository(), "controllers/internal/plan/testdata/*.golden.yaml"))
	if err != nil || len(files) < 6 {
		t.Fatalf("%d golden files: %v", len(files), err)
	}
	tried := map[string]bool{}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text := must(os.ReadFile(file))(t)
			// The first document is what is not an object.
			for _, document := range strings.Split(string(text), "\n---\n")[1:] {
				if tried[document] {
					continue
				}
				tried[document] = true
				tryOut(t, document)
			}
		})
	}
}

func tryOut(t *testing.T, document string) {
	t.Helper()
	object := &unstructured.Unstructured{}
	check(t, yaml.Unmarshal([]byte(document), &object.Object))
	if object.GetUID() != "" {
		return // bound to an object that is not here: what cert-manager has made
	}
	if err := admin.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object.DeepCopy()),
		client.FieldOwner("erlang-operator"), client.ForceOwnership, client.DryRunAll); err != nil {
		t.Errorf("%s %s: %v", object.GetKind(), object.GetName(), err)
	}
}
