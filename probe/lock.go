package probe

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// The times of a lock. Nothing compares the clocks of two machines. The holder counts from
// before it sent its last renewal, and the others from after they saw that. So the holder
// has stopped for as long as a node may still be busy with what it was told last before
// another probe begins. All of them may only become longer in a later version.
const (
	renewInterval = 5 * time.Second
	retryInterval = time.Second
	// renewTimeout bounds a request: an API server that does not answer costs no more.
	renewTimeout = 3 * time.Second
	// validity is how long the holder may change nodes after a renewal.
	validity = 10 * time.Second
	// leaseDuration is how long the others wait for the next one. It exceeds validity by the
	// time that a node takes to connect to another at most, seven seconds by default.
	leaseDuration = 17 * time.Second
	// confirmationTimeout is how old the last confirmation of a report may be. It is more than
	// any step of a sweep takes, and the pause after it.
	confirmationTimeout = 2 * time.Minute
)

// A lock is the Lease of a cluster. One probe holds it at a time, and no other changes
// anything in a node: two that make links, and see each other's links go, do harm. Each
// renewal also confirms the report in status.mesh to the manager, once this probe has reported.
// So a probe that could not renew it in time, because it was cut off or did not run, does so
// again only when a pass that began later is reported; and one that cannot write what it has
// found does not renew it, until it can.
type lock struct {
	leases         leases
	name, identity string
	log            logr.Logger
	// acquired has the cluster when the lock was not held before.
	acquired chan event.GenericEvent

	cluster atomic.Pointer[v1alpha1.ErlangCluster]
	changed chan struct{} // has a value when there is a cluster that was not known
	passes  chan struct{} // has a value during a pass
	soon    chan struct{} // has a value when the lock is to be renewed soon, and the probe is awake

	mutex       sync.Mutex
	renewed     time.Time             // when the last renewal that succeeded was begun
	confirmed   time.Time             // when a report was last confirmed, or this probe last proved to be ready to report
	reported    bool                  // this probe has reported since it took the lock, or there is nothing yet that it could confirm
	begun       time.Time             // when the last pass was
	interrupted time.Time             // when the lock was last found not to be renewed in time
	paused      bool                  // it is not renewed, for want of a report
	lease       *coordinationv1.Lease // as it was written last; nil if it is to be read
	tried       metav1.MicroTime      // the renewal that was tried last, whether or not it was answered
	ours        bool                  // nobody else was seen to hold it since
	other       heldLease
}

// heldLease is the Lease as others have left it, and when it was seen to change. It has no holder
// while the Lease does not exist, or nobody is named in it. It is zero while this probe holds it.
type heldLease struct {
	holder  string
	renewed metav1.MicroTime
	at      time.Time
	seen    time.Time // when it was read last
}

// begin begins a pass over a cluster, until the function that it returns is called.
func (l *lock) begin(cluster *v1alpha1.ErlangCluster) (end func()) {
	l.passes <- struct{}{}
	l.mutex.Lock()
	l.begun = time.Now()
	l.mutex.Unlock()
	if before := l.cluster.Swap(cluster); before == nil || before.UID != cluster.UID {
		l.mutex.Lock()
		l.reported = cluster.Status.Mesh == nil
		l.mutex.Unlock()
		l.stand()
		select {
		case l.changed <- struct{}{}:
		default: // It has one already.
		}
	}
	return func() { <-l.passes }
}

// forget is called when there is no cluster any more.
func (l *lock) forget() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.cluster.Store(nil)
	l.lose()
}

// confirm confirms the report of this pass: it is in the status.
func (l *lock) confirm() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	now := time.Now()
	l.noticeInterruption(now)
	if l.begun.Before(l.interrupted) {
		return
	}
	isFirst := !l.reported
	l.confirmed, l.reported = now, true
	if l.heldAt(now) && (isFirst || now.Sub(l.renewed) > renewInterval-retryInterval) {
		select {
		case l.soon <- struct{}{}: // To wake for it a little later would cost more.
		default:
		}
	}
}

// stand has this probe take the lock when it is free, although it may not report without it.
func (l *lock) stand() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.confirmed = time.Now()
}

// withdraw confirms nothing from now on: what was found is not in the status.
func (l *lock) withdraw() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.confirmed, l.reported = time.Time{}, false
}

// held reports whether nodes may be changed now.
func (l *lock) held() bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.heldAt(time.Now())
}

func (l *lock) heldAt(now time.Time) bool {
	return !l.renewed.IsZero() && elapsed(l.renewed, now) < validity
}

// elapsed is the time between two. A machine that was suspended may show that by the other clock only.
func elapsed(since, now time.Time) time.Duration {
	return max(now.Sub(since), now.Round(0).Sub(since.Round(0)))
}

// noticeInterruption notices that the lock was not renewed in time, although it should have been.
// Nobody knows how long ago that was, so what was reported until now is not confirmed.
func (l *lock) noticeInterruption(now time.Time) {
	if l.ours && !l.paused && !l.heldAt(now) {
		l.interrupted, l.paused, l.confirmed = now, true, time.Time{}
		l.log.Info("Nothing is changed in the nodes, because the Lease was not renewed in time")
	}
}

// Start keeps the lock until the context ends, and releases it after the last pass.
func (l *lock) Start(ctx context.Context) error {
	for failure := ""; ; {
		wait := retryInterval
		if cluster := l.cluster.Load(); cluster != nil && l.isDue() {
			wait, failure = l.keep(ctx, cluster, failure)
		}
		select {
		case <-ctx.Done():
			l.release(context.WithoutCancel(ctx))
			return nil
		case <-l.changed:
		case <-l.soon:
		case <-time.After(wait):
		}
	}
}

// isDue reports whether the lock is to be kept now: not without a report. While the lock is not
// renewed, only a report of just now counts: that an earlier one was true when it was confirmed
// says nothing about what has happened since, and could not be written.
func (l *lock) isDue() bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	now := time.Now()
	l.noticeInterruption(now)
	most := confirmationTimeout
	if l.paused {
		most = validity
	}
	due := now.Sub(l.confirmed) < most
	l.paused = l.paused || !due
	return due
}

// keep acquires or renews the lock, logs what has changed, and returns when to do so again.
func (l *lock) keep(ctx context.Context, cluster *v1alpha1.ErlangCluster, failure string) (time.Duration, string) {
	held := l.held()
	err := l.renew(ctx, cluster)
	switch {
	case err != nil && err.Error() != failure:
		l.log.Info("Lease not renewed", "cause", err.Error())
		return retryInterval, err.Error()
	case err != nil:
		return retryInterval, failure
	case !held:
		l.log.Info("Lease acquired", "holder", l.identity)
		select {
		case l.acquired <- event.GenericEvent{Object: cluster}:
		default: // A pass is due already.
		}
	}
	return renewInterval, ""
}

// renew acquires or renews the lock. When somebody has written the Lease since it was read, it is
// read again at once: another may hold it now.
func (l *lock) renew(ctx context.Context, cluster *v1alpha1.ErlangCluster) error {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	if l.lease != nil {
		if err := l.write(ctx, l.lease, cluster); !apierrors.IsConflict(err) {
			return err
		}
	}
	lease, err := l.read(ctx, cluster)
	if err != nil {
		return err
	}
	return l.write(ctx, lease, cluster)
}

// write takes a Lease that was read. Its version makes sure that nobody else has done so meanwhile.
func (l *lock) write(ctx context.Context, lease *coordinationv1.Lease, cluster *v1alpha1.ErlangCluster) error {
	begun := time.Now()
	l.mutex.Lock()
	taken := l.taken(lease, cluster)
	l.tried = *taken.Spec.RenewTime
	l.mutex.Unlock()
	written, err := l.leases.Update(ctx, taken, metav1.UpdateOptions{})
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if err != nil {
		l.lease = nil
		return fmt.Errorf("write Lease %s: %w", l.name, err)
	}
	l.lease, l.renewed, l.ours, l.paused, l.other = written, begun, true, false, heldLease{}
	return nil
}

// release lets another probe begin at once.
func (l *lock) release(ctx context.Context) {
	l.passes <- struct{}{}        // What was begun has ended.
	defer func() { <-l.passes }() // What still begins is cut off at once, and changes nothing.
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.lose()
	if l.lease == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	lease := l.lease.DeepCopy()
	v1alpha1.Release(&lease.Spec)
	if _, err := l.leases.Update(ctx, lease, metav1.UpdateOptions{}); err != nil {
		l.log.Info("Lease not released", "cause", err.Error())
		return
	}
	l.log.Info("Lease released")
}
