package envtest

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kstatus "sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

var namespaces atomic.Int32

// newNamespace makes a namespace for a test. It enforces the restricted Pod
// Security Standard, which the probe must meet.
func newNamespace(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("test-%d", namespaces.Add(1))
	if err := admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}); err != nil {
		t.Fatal(err)
	}
	return name
}

// minimal is the YAML of the README, with a security context as a restricted
// namespace asks for.
const minimal = `
apiVersion: erlang-operator.dev/v1alpha1
kind: ErlangCluster
metadata: {name: chat}
spec:
  replicas: 3
  template:
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: chat
        image: example.com/chat:1.4.2
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
`

// object reads YAML as a user's client would send it: without any default.
func object(t *testing.T, namespace, text string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &object.Object); err != nil {
		t.Fatalf("read %s: %v", text, err)
	}
	object.SetNamespace(namespace)
	return object
}

// create makes an object of the user's, which goes when the test ends: the manager
// of the next test would go on with it.
func create(t *testing.T, object client.Object) {
	t.Helper()
	if err := admin.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.IgnoreNotFound(admin.Delete(context.Background(), object)); err != nil {
			t.Error(err)
		}
	})
}

func clusterIn(namespace string) *v1alpha1.ErlangCluster {
	return &v1alpha1.ErlangCluster{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "chat"}}
}

// get reads an object anew.
func get[T client.Object](t *testing.T, object T) T {
	t.Helper()
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
		t.Fatal(err)
	}
	return object
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func(ctx context.Context) error) {
	t.Helper()
	const patience = 60 * time.Second
	// Cleaning up waits too, when the test's own context has ended.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	for {
		err := so(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %s: %v", what, patience, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// awaitCondition waits until a condition of the cluster has a status and a reason,
// and says these words, and returns it.
func awaitCondition(t *testing.T, namespace, condition string, status metav1.ConditionStatus, reason string, says ...string) metav1.Condition {
	t.Helper()
	var found metav1.Condition
	eventually(t, fmt.Sprintf("condition %s=%s, %s", condition, status, reason), func(ctx context.Context) error {
		cluster := clusterIn(namespace)
		if err := admin.Get(ctx, client.ObjectKeyFromObject(cluster), cluster); err != nil {
			return err
		}
		c := meta.FindStatusCondition(cluster.Status.Conditions, condition)
		if c == nil {
			return fmt.Errorf("it is not there; there are %s", summary(cluster))
		}
		if c.Status != status || c.Reason != reason || c.ObservedGeneration != cluster.Generation {
			return fmt.Errorf("there are %s", summary(cluster))
		}
		for _, words := range says {
			if !strings.Contains(c.Message, words) {
				return fmt.Errorf("it does not say %q; there are %s", words, summary(cluster))
			}
		}
		found = *c
		return nil
	})
	return found
}

func summary(cluster *v1alpha1.ErlangCluster) string {
	parts := make([]string, 0, len(cluster.Status.Conditions))
	for _, c := range cluster.Status.Conditions {
		parts = append(parts, fmt.Sprintf("%s=%s %s (%s)", c.Type, c.Status, c.Reason, c.Message))
	}
	return strings.Join(parts, "; ")
}

// kstatusOf is how `kubectl`, Flux and Argo CD read the cluster.
func kstatusOf(t *testing.T, namespace string) kstatus.Status {
	t.Helper()
	cluster := &unstructured.Unstructured{}
	cluster.SetGroupVersionKind(v1alpha1.SchemeGroupVersion.WithKind("ErlangCluster"))
	cluster.SetNamespace(namespace)
	cluster.SetName("chat")
	result, err := kstatus.Compute(get(t, cluster))
	if err != nil {
		t.Fatal(err)
	}
	checkArgoCD(t, cluster, result.Status)
	return result.Status
}

// exists says whether an object of that name is there.
func exists(ctx context.Context, object client.Object) (bool, error) {
	err := admin.Get(ctx, client.ObjectKeyFromObject(object), object)
	return err == nil, client.IgnoreNotFound(err)
}

func named(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name}
}
