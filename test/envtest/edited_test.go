package envtest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// What a person adds by hand to an object of ours is removed, and not only what they
// change: whatever client they use.
func TestEditedObjectsAreRestored(t *testing.T) {
	namespace := newNamespace(t)
	startManager(t)
	create(t, object(t, namespace, minimal))
	set := awaitStatefulSet(t, namespace, 3)
	deployment := &appsv1.Deployment{ObjectMeta: named(namespace, "chat-probe")}
	eventually(t, "the probe", func(ctx context.Context) error {
		return admin.Get(ctx, client.ObjectKeyFromObject(deployment), deployment)
	})
	settle(t) // A CA that cert-manager has issued twice changes the trust bundle late.
	many := strings.Builder{}
	for i := range 2600 {
		fmt.Fprintf(&many, "key-%070d: x, ", i)
	}
	for name, test := range map[string]struct {
		object client.Object
		patch  string
	}{
		"a container":            {set, `{spec: {template: {spec: {containers: [{name: sidecar, image: example.com/sidecar}]}}}}`},
		"an update strategy":     {set, `{spec: {updateStrategy: {type: OnDelete, rollingUpdate: null}}}`},
		"a node selector":        {set, `{spec: {template: {spec: {nodeSelector: {disk: fast}}}}}`},
		"fewer replicas":         {set, `{spec: {replicas: 1}}`},
		"a paused Deployment":    {deployment, `{spec: {paused: true}}`},
		"a command of the probe": {deployment, `{spec: {template: {spec: {containers: [{name: probe, command: [sleep]}]}}}}`},
		"a port of the Service":  {&corev1.Service{ObjectMeta: named(namespace, "chat-nodes")}, `{spec: {ports: [{name: more, port: 99}]}}`},
		"egress":                 {&networkingv1.NetworkPolicy{ObjectMeta: named(namespace, "chat-distribution")}, `{spec: {egress: [{}], policyTypes: [Ingress, Egress]}}`},
		"thousands of keys":      {&corev1.ConfigMap{ObjectMeta: named(namespace, "chat-distribution")}, "{data: {" + many.String() + "}}"},
		"a key of the ConfigMap": {&corev1.ConfigMap{ObjectMeta: named(namespace, "chat-distribution")}, `{data: {more: x}}`},
	} {
		t.Run(name, func(t *testing.T) {
			before := contentOf(t, get(t, test.object))
			patch := object(t, namespace, test.patch)
			patch.SetNamespace("")
			text, err := patch.MarshalJSON()
			if err == nil {
				err = admin.Patch(t.Context(), test.object, client.RawPatch(types.StrategicMergePatchType, text), client.FieldOwner("kubectl-edit"))
			}
			if err != nil {
				t.Fatal(err)
			}
			if test.object == client.Object(set) {
				observeStatefulSet(t, set)
			}
			awaitContent(t, test.object, before)
		})
	}
	for _, owned := range []client.Object{set, deployment, &policyv1.PodDisruptionBudget{ObjectMeta: named(namespace, "chat")},
		&networkingv1.NetworkPolicy{ObjectMeta: named(namespace, "chat-distribution")}, &corev1.Service{ObjectMeta: named(namespace, "chat-nodes")}} {
		for what, patch := range map[string]string{
			"no longer its controller": `[{"op": "replace", "path": "/metadata/ownerReferences/0/controller", "value": false}]`,
			"a second reference":       `[{"op": "copy", "from": "/metadata/ownerReferences/0", "path": "/metadata/ownerReferences/-"}, {"op": "replace", "path": "/metadata/ownerReferences/1/controller", "value": false}]`,
		} {
			t.Run(fmt.Sprintf("%s of %T", what, owned), func(t *testing.T) {
				before := get(t, owned).GetOwnerReferences()
				check(t, admin.Patch(t.Context(), owned, client.RawPatch(types.JSONPatchType, []byte(patch)), client.FieldOwner("kubectl-patch")))
				eventually(t, "its owner as it was", func(ctx context.Context) error {
					err := admin.Get(ctx, client.ObjectKeyFromObject(owned), owned)
					if diff := cmp.Diff(before, owned.GetOwnerReferences()); err == nil && diff != "" {
						err = fmt.Errorf("(-before +now):\n%s", diff)
					}
					return err
				})
			})
		}
	}
	t.Run("by server-side apply", func(t *testing.T) {
		before := contentOf(t, get(t, set))
		applied := object(t, namespace, `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: chat, labels: {example.com/team: talk}}
spec: {minReadySeconds: 5, template: {spec: {priorityClassName: high}}}
`)
		check(t, admin.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(applied), client.FieldOwner("somebody")))
		awaitContent(t, set, before)
		if labels := get(t, set).Labels; labels["example.com/team"] != "talk" {
			t.Errorf("a label of theirs is gone too: %v", labels)
		}
	})
	t.Run("but a restart is not undone", func(t *testing.T) {
		text := `{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"now"}}}}}`
		check(t, admin.Patch(t.Context(), set, client.RawPatch(types.StrategicMergePatchType, []byte(text)), client.FieldOwner("kubectl-rollout")))
		// What is restored after it shows that the manager has seen it.
		before := contentOf(t, get(t, set))
		check(t, admin.Patch(t.Context(), set, client.RawPatch(types.StrategicMergePatchType, []byte(`{"spec":{"minReadySeconds":5}}`)), client.FieldOwner("kubectl-edit")))
		awaitContent(t, set, before)
	})
}

// Another manager that changes a field for ever is named with the field, and the operator
// restores it with pauses instead of as fast as it can.
func TestContestedFieldIsReported(t *testing.T) {
	namespace := newNamespace(t)
	startManager(t)
	create(t, object(t, namespace, minimal))
	set := awaitStatefulSet(t, namespace, 3)
	settle(t)
	before := contentOf(t, get(t, set))
	watcher := must(client.NewWithWatch(environment.Config, client.Options{Scheme: scheme}))(t)
	versions := must(watcher.Watch(t.Context(), &appsv1.StatefulSetList{}, client.InNamespace(namespace)))(t)
	changes, done := 0, make(chan error, 1)
	go func() {
		var failed error
		for version := range versions.ResultChan() {
			if now, ok := version.Object.(*appsv1.StatefulSet); ok && now.Spec.MinReadySeconds != 7 && failed == nil {
				changes++
				failed = admin.Patch(context.Background(), now, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"minReadySeconds":7}}`)), client.FieldOwner("other-controller"))
			}
		}
		done <- failed
	}()
	awaitCondition(t, namespace, v1alpha1.ConditionFieldConflict, metav1.ConditionTrue, v1alpha1.ReasonFieldConflict,
		"StatefulSet chat: another manager (other-controller) changes spec.minReadySeconds again and again. It has been restored 6 times")
	versions.Stop()
	check(t, <-done)
	// Some may have been of a version that was over. Without pauses there would be hundreds.
	if changes < 6 || changes > 20 {
		t.Errorf("it was changed %d times, so the operator has not paused", changes)
	}
	awaitContent(t, set, before)
}

// contentOf is an object but for its metadata and its status.
func contentOf(t *testing.T, object client.Object) map[string]any {
	t.Helper()
	content := must(content(object))(t)
	return content
}

func content(object client.Object) (map[string]any, error) {
	content := &unstructured.Unstructured{}
	err := scheme.Convert(object, content, nil)
	delete(content.Object, "metadata")
	delete(content.Object, "status")
	return content.Object, err
}

func awaitContent(t *testing.T, object client.Object, want map[string]any) {
	t.Helper()
	eventually(t, "its content as it was", func(ctx context.Context) error {
		if err := admin.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			return err
		}
		now, err := content(object)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(want, now); diff != "" {
			return fmt.Errorf("(-before +now):\n%s", diff)
		}
		return nil
	})
}

// A PodDisruptionBudget of somebody else's keeps neither certificates nor nodes from being
// made.
func TestForeignDisruptionBudgetHoldsUpNothingElse(t *testing.T) {
	namespace := newNamespace(t)
	create(t, &policyv1.PodDisruptionBudget{ObjectMeta: named(namespace, "chat"),
		Spec: policyv1.PodDisruptionBudgetSpec{MaxUnavailable: ptr.To(intstr.FromInt32(1))}})
	startManager(t)
	create(t, object(t, namespace, minimal))
	awaitStatefulSet(t, namespace, 3)
	awaitStalled(t, namespace, v1alpha1.ReasonNameConflict, "poddisruptionbudget.policy/chat")
}

// The manager knows by these words that a Kubernetes is too old for a field.
func TestUnknownFieldsAreSaidSo(t *testing.T) {
	set := object(t, newNamespace(t), `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: chat}
spec: {serviceName: a, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {more: true, containers: [{name: chat, image: a}]}}}
`)
	err := admin.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(set), client.FieldOwner("erlang-operator"))
	if err == nil || !strings.Contains(err.Error(), ".spec.template.spec.more: field not declared in schema") {
		t.Errorf("the API server says %v", err)
	}
}

// The manager marks objects in its cache in this field, and believes every mark.
func TestNobodySetsSelfLink(t *testing.T) {
	namespace := newNamespace(t)
	for _, linked := range []client.Object{
		&corev1.ConfigMap{ObjectMeta: named(namespace, "linked")},
		&certmanager.Issuer{ObjectMeta: named(namespace, "linked"), Spec: certmanager.IssuerSpec{IssuerConfig: certmanager.IssuerConfig{SelfSigned: &certmanager.SelfSignedIssuer{}}}},
	} {
		linked.SetSelfLink("forged")
		check(t, admin.Create(t.Context(), linked))
		if link := get(t, linked).GetSelfLink(); link != "" {
			t.Errorf("%T is created with %q", linked, link)
		}
		check(t, admin.Patch(t.Context(), linked, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"selfLink":"forged","labels":{"a":"b"}}}`))))
		if got := get(t, linked); got.GetSelfLink() != "" || got.GetLabels()["a"] != "b" {
			t.Errorf("%T is patched to %q, with the labels %v", linked, got.GetSelfLink(), got.GetLabels())
		}
	}
}
