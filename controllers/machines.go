package controllers

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/erlang-operator/erlang-operator/controllers/internal/observe"
)

// onMachine are the clusters that have pods on a machine.
func (r *Reconciler) onMachine(ctx context.Context, machine client.Object) []reconcile.Request {
	var pods corev1.PodList
	if err := r.Client.List(ctx, &pods, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Failed to list pods")
		return nil
	}
	var requests []reconcile.Request
	for i := range pods.Items {
		if pods.Items[i].Spec.NodeName == machine.GetName() {
			requests = append(requests, byLabel(ctx, &pods.Items[i])...)
		}
	}
	return requests
}

// readinessChanges are the events after which a machine is Ready and was not, or the other
// way round.
func readinessChanges() predicate.Predicate {
	created := func(e event.CreateEvent) bool { return observe.NotReady(e.Object.(*corev1.Node)) != nil } // It may have pods already.
	return predicate.Funcs{CreateFunc: created, UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := observe.NotReady(e.ObjectOld.(*corev1.Node)), observe.NotReady(e.ObjectNew.(*corev1.Node))
		return (before == nil) != (after == nil)
	}}
}
