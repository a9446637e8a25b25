package controllers

import (
	"context"
	"reflect"
	"slices"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// How long it takes until a cluster is reconciled for what has changed of its objects. A dozen
// passes would otherwise follow one another while a cluster is new: cert-manager writes each
// Certificate and what belongs to it some ten times until it is issued, and what the manager
// itself creates and reports comes back to it.
const (
	// stepInterval is for what may let the cluster go on, such as a certificate that is issued,
	// and for what is to be restored.
	stepInterval = 20 * time.Millisecond
	// progressInterval is for what is only to be reported.
	progressInterval = 2 * time.Second
)

// onOwned has the cluster of an object reconciled.
func onOwned() handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, queue requests) {
			enqueue(ctx, queue, intervalAfter(nil, e.Object), e.Object)
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, queue requests) {
			// It may have had another label.
			enqueue(ctx, queue, intervalAfter(e.ObjectOld, e.ObjectNew), e.ObjectOld, e.ObjectNew)
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, queue requests) {
			enqueue(ctx, queue, stepInterval, e.Object)
		},
	}
}

// enqueue has the clusters of objects reconciled after an interval. One that is to be reconciled
// before that is not put off.
func enqueue(ctx context.Context, queue requests, interval time.Duration, objects ...client.Object) {
	var clusters []reconcile.Request
	for _, object := range objects {
		clusters = append(clusters, byLabel(ctx, object)...)
	}
	for _, cluster := range slices.Compact(clusters) {
		queue.AddAfter(cluster, interval)
	}
}

// intervalAfter is the interval for an object that was created, where there is none before, or changed.
func intervalAfter(before, after client.Object) time.Duration {
	if isStep(before, after) {
		return stepInterval
	}
	return progressInterval
}

// isStep reports whether the cluster may go on, or somebody has changed what is ours: its nodes wait for
// certificates, the trust bundle and each other, and its rollout for the StatefulSet controller.
func isStep(before, after client.Object) bool {
	switch after := after.(type) {
	case *corev1.ConfigMap:
		return true
	case *corev1.Secret:
		if before == nil {
			return len(after.Data[corev1.TLSCertKey]) > 0 // The cookie is the manager's own.
		}
		return !reflect.DeepEqual(before.(*corev1.Secret).Data, after.Data)
	case *corev1.Pod:
		return before != nil
	case *appsv1.StatefulSet:
		return before != nil && !reflect.DeepEqual(revisions(before.(*appsv1.StatefulSet)), revisions(after))
	case *certmanager.CertificateRequest:
		return false
	}
	// Another status is no other generation. What has no generations has no status either.
	return before != nil && (after.GetGeneration() == 0 || after.GetGeneration() != before.GetGeneration())
}

// revisions are the generations of a StatefulSet, and which of its templates pods are created from.
func revisions(set *appsv1.StatefulSet) []any {
	return []any{set.Generation, set.Status.ObservedGeneration, set.Status.CurrentRevision, set.Status.UpdateRevision}
}

// onReport has a cluster reconciled some time after the manager has reported of it, or somebody
// has changed what it reported.
func onReport() handler.EventHandler {
	return handler.Funcs{UpdateFunc: func(_ context.Context, e event.UpdateEvent, queue requests) {
		if isReport(e) {
			queue.AddAfter(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(e.ObjectNew)}, progressInterval)
		}
	}}
}

// isReport reports whether nothing of a cluster has changed but the manager's part of its status.
func isReport(e event.UpdateEvent) bool {
	return equality.Semantic.DeepEqual(withoutReport(e.ObjectOld), withoutReport(e.ObjectNew))
}

// withoutReport is of a cluster all but the manager's part of its status, and its version.
func withoutReport(cluster client.Object) []any {
	mesh, _ := v1alpha1.Mesh(cluster.(*unstructured.Unstructured)) // What came as JSON has a JSON form.
	return []any{cluster.GetGeneration(), cluster.GetUID(), cluster.GetDeletionTimestamp(), cluster.GetFinalizers(), cluster.GetLabels(), cluster.GetAnnotations(), mesh}
}

// except drops the updates of a kind.
func except(dropped func(event.UpdateEvent) bool) predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool { return !dropped(e) }}
}
