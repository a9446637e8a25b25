package envtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

const templateDefaults = "erlang-operator.dev/template-defaults"

// The StatefulSet of an operator that had no defaults for the template keeps its template with
// this one, until its user asks for them.
func TestUpgradeRestartsNoPod(t *testing.T) {
	namespace := newNamespace(t)
	cluster := clusterIn(namespace)
	cluster.Spec.Replicas = ptr.To[int32](3)
	cluster.Spec.Template.Spec.Containers = []corev1.Container{{Name: "chat", Image: "example.com/chat:1.4.2"}}
	create(t, cluster)
	former := formerStatefulSet(t, get(t, cluster))
	startManager(t)

	set := &appsv1.StatefulSet{ObjectMeta: named(namespace, "chat")}
	eventually(t, "the manager applies the StatefulSet", func(ctx context.Context) error {
		if _, err := read(ctx, set); err != nil || set.Labels["app.kubernetes.io/managed-by"] == "" {
			return fmt.Errorf("its labels are %v: %w", set.Labels, err)
		}
		return nil
	})
	awaitCondition(t, namespace, v1alpha1.ConditionCredentialsReady, metav1.ConditionTrue, v1alpha1.ReasonCertificatesIssued)
	settle(t)
	if diff := cmp.Diff(former.Spec.Template, get(t, set).Spec.Template); diff != "" {
		t.Fatalf("the upgrade restarts pods (-before +after):\n%s", diff)
	}

	patchSpec(t, namespace, func(spec *v1alpha1.ErlangClusterSpec) {
		metav1.SetMetaDataAnnotation(&spec.Template.ObjectMeta, templateDefaults, "1")
	})
	spreads := func(ctx context.Context) error {
		_, err := read(ctx, set)
		if pod := set.Spec.Template.Spec; len(pod.TopologySpreadConstraints) != 1 || pod.Affinity == nil {
			err = errors.Join(err, fmt.Errorf("constraints %v, affinity %v", pod.TopologySpreadConstraints, pod.Affinity))
		}
		return err
	}
	eventually(t, "the user gets the defaults that they ask for", spreads)
	patchSpec(t, namespace, func(spec *v1alpha1.ErlangClusterSpec) { spec.Template.Annotations = nil })
	settle(t)
	check(t, spreads(t.Context()))
}

// formerStatefulSet writes the StatefulSet of a golden plan for a cluster, as an operator
// without defaults did, without one label, by which the test sees that it was applied again.
func formerStatefulSet(t *testing.T, cluster *v1alpha1.ErlangCluster) *appsv1.StatefulSet {
	t.Helper()
	text := must(os.ReadFile(filepath.Join(repository(), "controllers/internal/plan/testdata/converged.golden.yaml")))(t)
	for _, document := range strings.Split(string(text), "\n---\n")[1:] {
		object := &unstructured.Unstructured{}
		check(t, yaml.Unmarshal([]byte(strings.ReplaceAll(document, "shop", cluster.Namespace)), &object.Object))
		if object.GetKind() != "StatefulSet" {
			continue
		}
		object.SetLabels(map[string]string{labelCluster: cluster.Name})
		object.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(cluster, v1alpha1.SchemeGroupVersion.WithKind("ErlangCluster"))})
		check(t, admin.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("erlang-operator")))
	}
	set := get(t, &appsv1.StatefulSet{ObjectMeta: named(cluster.Namespace, cluster.Name)})
	if set.Spec.Template.Annotations != nil || set.Spec.Template.Spec.Affinity != nil {
		t.Fatalf("the StatefulSet is not of a former operator: %+v", set.Spec.Template)
	}
	return set
}
