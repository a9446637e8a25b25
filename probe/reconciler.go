package probe

import (
	"context"
	"errors"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/probe/sweep"
)

// reconciler proves one cluster, pass by pass. What a step has to remember from one pass
// to the next, it keeps itself.
type reconciler struct {
	reader    reader
	sweeper   sweeper
	publisher publisher
	schedule  schedule
	cookie    provenCookie
	lock      *lock
	now       func() time.Time
	// woken has the cluster when a node may have died.
	woken chan event.GenericEvent
}

func newReconciler(c client.Client, options Options, lock *lock) *reconciler {
	r := &reconciler{
		lock:      lock,
		reader:    reader{domain: options.Domain},
		sweeper:   sweeper{options: options},
		publisher: publisher{write: writeStatus(c, lock)},
		schedule:  schedule{intervals: options.Intervals},
		now:       time.Now,
		woken:     make(chan event.GenericEvent, 1),
	}
	r.sweeper.kept.Lost = r.wake
	return r
}

// wake has the cluster reconciled soon.
func (r *reconciler) wake() {
	cluster := r.lock.cluster.Load()
	if cluster == nil {
		return
	}
	select {
	case r.woken <- event.GenericEvent{Object: cluster}:
	default: // A pass is due already.
	}
}

// Reconcile is one pass: read what should be true, sweep the nodes, report what was
// observed and publish the report, step by step, and schedule the next pass.
func (r *reconciler) Reconcile(ctx context.Context, cluster *v1alpha1.ErlangCluster) (ctrl.Result, error) {
	if !cluster.DeletionTimestamp.IsZero() {
		r.forget()
		return ctrl.Result{}, nil // The nodes are terminating, and so is this probe.
	}
	defer r.lock.begin(cluster)()
	log := logr.FromContextOrDiscard(ctx)
	previous := r.publisher.previous(cluster)

	desired, err := r.reader.read(ctx, cluster, previous)
	if err != nil {
		// Without credentials a verdict would be a guess, so none is given.
		r.sweeper.kept.Close()
		log.Info("No verdict because credentials are missing", "cause", err.Error())
		return ctrl.Result{RequeueAfter: r.schedule.intervals.Unsettled}, nil
	}
	result, current := r.prove(ctx, cluster, desired)
	if ctx.Err() != nil {
		return ctrl.Result{}, ctx.Err() // Stopped half-way: what failed proves nothing.
	}
	logPass(log, previous, current, desired, result)
	return ctrl.Result{RequeueAfter: r.schedule.next(result, previous, current, r.now())}, nil
}

// forget is called when there is no cluster any more.
func (r *reconciler) forget() {
	r.lock.forget()
	r.closeSessions()
}

// Start waits for the end of the context, and closes the sessions.
func (r *reconciler) Start(ctx context.Context) error {
	<-ctx.Done()
	r.closeSessions()
	return nil
}

// closeSessions ends the sessions with the nodes that are kept between two passes.
func (r *reconciler) closeSessions() {
	r.lock.passes <- struct{}{}
	defer func() { <-r.lock.passes }()
	r.sweeper.kept.Close()
}

// prove sweeps the nodes, and publishes a report after each step: neither a failure nor a silent
// link waits for links that take long to make. A node that has just come back does, because it would
// be reported as one that is not linked.
func (r *reconciler) prove(ctx context.Context, cluster *v1alpha1.ErlangCluster, desired desired) (result sweep.Result, current *v1alpha1.MeshStatus) {
	begun := r.now()
	desired.credentials = r.cookie.complete(desired.credentials)
	pass := r.sweeper.begin(desired, begun, func() bool { return desired.suspended || !r.lock.held() })
	defer pass.Close()
	for i, step := range pass.Steps() {
		if result = step(ctx); ctx.Err() != nil {
			return result, nil
		}
		previous := r.publisher.previous(cluster)
		if current = report(previous, desired, result, r.now()); same(previous, current) {
			current = previous
		}
		if i == 0 {
			r.schedule.verifying = r.now().Sub(begun)
		}
		seen := i > 0 && current == previous // and confirmed: to make links may take long
		if !result.Healed && !seen && !urgent(previous, current, result.Outcomes) {
			continue
		}
		switch err := r.publisher.publish(ctx, cluster, previous, current, r.now()); {
		case err == nil:
			r.lock.confirm()
		case errors.Is(err, errNotHolder):
			r.lock.stand()
		default:
			r.lock.withdraw()
			logr.FromContextOrDiscard(ctx).Info("Report not written", "cause", err.Error())
		}
		if result.Settled {
			break
		}
	}
	r.schedule.sweeping = r.now().Sub(begun)
	r.cookie.learn(desired.credentials.Cookie, result)
	r.sweeper.record(begun, r.now(), result)
	return result, current
}
