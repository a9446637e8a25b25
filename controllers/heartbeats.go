package controllers

import (
	"context"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/erlang-operator/erlang-operator/controllers/internal/observe"
)

type requests = workqueue.TypedRateLimitingInterface[reconcile.Request]

// onHeartbeat takes the heartbeats of the probes. A cluster is reconciled for one only when its
// probe was silent: the others change nothing.
func onHeartbeat(observer *observe.Observer) handler.EventHandler {
	saw := func(object client.Object, queue requests) {
		if cluster, wasSilent := observer.Heartbeats.Saw(object.(*coordinationv1.Lease), observer.Clock.Now()); wasSilent {
			queue.Add(reconcile.Request{NamespacedName: cluster})
		}
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, queue requests) { saw(e.Object, queue) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, queue requests) { saw(e.ObjectNew, queue) },
	}
}

// silenceInterval is how often it is looked whether a probe has become silent.
const silenceInterval = time.Second

// onSilence has a cluster reconciled when its probe has become silent, which no watch reports.
func onSilence(observer *observe.Observer) func(context.Context, requests) error {
	return func(ctx context.Context, queue requests) error {
		go func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-time.After(silenceInterval):
				}
				for _, cluster := range observer.Heartbeats.Silenced(observer.Clock.Now()) {
					queue.Add(reconcile.Request{NamespacedName: cluster})
				}
			}
		}()
		return nil
	}
}
