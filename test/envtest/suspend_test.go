package envtest

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// Who connects the nodes is for the probe: nothing else changes with it, and the messages
// say who is to act.
func TestFormation(t *testing.T) {
	namespace := newNamespace(t)
	create(t, object(t, namespace, minimal))
	if formation := get(t, clusterIn(namespace)).Spec.Distribution.Formation; formation != v1alpha1.FormationOperator {
		t.Errorf("the default is %q", formation)
	}
	startManager(t)
	pods := startPods(t, awaitStatefulSet(t, namespace, 3), 0, 3)
	probe := startProbe(t, namespace)
	probe.becomeReady(t, pods)
	settle(t)
	before := versions(t, namespace)
	patchSpec(t, namespace, func(spec *v1alpha1.ErlangClusterSpec) { spec.Distribution.Formation = v1alpha1.FormationApplication })
	mesh := wholeMesh(namespace, pods)
	mesh.ObservedGeneration = get(t, clusterIn(namespace)).Generation
	mesh.Links, mesh.Nodes[0].MissingLinks, mesh.Nodes[1].MissingLinks = 2, []string{"chat-1"}, []string{"chat-0"}
	probe.report(t, mesh)
	awaitCondition(t, namespace, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonLinkMissing, "The application is to connect them")
	settle(t)
	if diff := cmp.Diff(before, versions(t, namespace)); diff != "" {
		t.Errorf("objects changed (-before +after):\n%s", diff)
	}
}

// While it is suspended no object of a cluster is changed, whatever changes around it; the
// status is reported, and resumed is done what was left.
func TestSuspend(t *testing.T) {
	namespace := newNamespace(t)
	create(t, object(t, namespace, minimal))
	startManager(t)
	set := awaitStatefulSet(t, namespace, 3)
	pods := startPods(t, set, 0, 3)
	probe := startProbe(t, namespace)
	probe.becomeReady(t, pods)

	suspend := func(value bool) {
		patchSpec(t, namespace, func(spec *v1alpha1.ErlangClusterSpec) { spec.Suspend = value })
	}
	suspend(true)
	awaitCondition(t, namespace, v1alpha1.ConditionSuspended, metav1.ConditionTrue, v1alpha1.ReasonSuspended)
	settle(t)
	service := &corev1.Service{ObjectMeta: named(namespace, "chat-nodes")}
	check(t, admin.Delete(t.Context(), service))
	deployment := get(t, &appsv1.Deployment{ObjectMeta: named(namespace, "chat-probe")})
	deployment.Spec.Paused = true
	check(t, admin.Update(t.Context(), deployment))
	before := versions(t, namespace)
	patchSpec(t, namespace, func(spec *v1alpha1.ErlangClusterSpec) {
		spec.Replicas, spec.Cookie.RotationID = ptr.To[int32](4), "2"
		spec.Template.Annotations = map[string]string{"change": "1"}
	})
	mesh := wholeMesh(namespace, pods)
	mesh.Nodes[1].Stage, mesh.Nodes[1].Reason, mesh.Nodes[1].Message = v1alpha1.StageHandshake, v1alpha1.ReasonCookieMismatch, "It has another cookie."
	probe.report(t, mesh)
	eventually(t, "the status reports it", func(ctx context.Context) error {
		cluster, err := read(ctx, clusterIn(namespace))
		if err == nil && cluster.Status.Nodes != "2/4" {
			err = fmt.Errorf("NODES %s", cluster.Status.Nodes)
		}
		return err
	})
	settle(t)
	if diff := cmp.Diff(before, versions(t, namespace)); diff != "" {
		t.Errorf("objects changed (-before +after):\n%s", diff)
	}
	cluster := get(t, clusterIn(namespace))
	if len(cluster.Status.Rotation) > 0 || meta.FindStatusCondition(cluster.Status.Conditions, v1alpha1.ConditionReconciling) != nil {
		t.Errorf("status: %s, rotation %v", summary(cluster), cluster.Status.Rotation)
	}
	must(kstatusOf(t.Context(), namespace))(t) // which compares it with the health in Argo CD

	suspend(false)
	awaitStatefulSet(t, namespace, 4)
	eventually(t, "all is restored", func(ctx context.Context) error {
		cluster, err := read(ctx, clusterIn(namespace))
		if err != nil || meta.FindStatusCondition(cluster.Status.Conditions, v1alpha1.ConditionSuspended) != nil {
			return fmt.Errorf("there are %s, %w", summary(cluster), err)
		}
		if err := admin.Get(ctx, client.ObjectKeyFromObject(deployment), deployment); err != nil || deployment.Spec.Paused {
			return fmt.Errorf("the probe's Deployment is paused: %t, %w", deployment.Spec.Paused, err)
		}
		return admin.Get(ctx, client.ObjectKeyFromObject(service), service)
	})
}
