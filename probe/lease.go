package probe

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
)

// leases are what a lock needs of the Leases of a namespace. An update creates one that does
// not exist: so the right to create can be limited to a name.
type leases interface {
	Get(ctx context.Context, name string, options metav1.GetOptions) (*coordinationv1.Lease, error)
	Update(ctx context.Context, lease *coordinationv1.Lease, options metav1.UpdateOptions) (*coordinationv1.Lease, error)
}

// newLock is the lock of the cluster that options name.
func newLock(manager ctrl.Manager, config *rest.Config, options Options) (*lock, error) {
	config = rest.CopyConfig(config)
	config.ContentType = runtime.ContentTypeProtobuf // which costs less than JSON
	coordination, err := coordinationclient.NewForConfigAndClient(config, manager.GetHTTPClient())
	if err != nil {
		return nil, err
	}
	names := naming.Names{Cluster: options.Cluster, Namespace: options.Namespace}
	return &lock{
		leases: coordination.Leases(names.Namespace), name: names.Probe(), identity: options.Identity,
		log: manager.GetLogger().WithName("lease"), changed: make(chan struct{}, 1), passes: make(chan struct{}, 1), soon: make(chan struct{}, 1), acquired: make(chan event.GenericEvent, 1),
	}, nil
}

// read returns the Lease if this probe may take it.
func (l *lock) read(ctx context.Context, cluster *v1alpha1.ErlangCluster) (*coordinationv1.Lease, error) {
	lease, err := l.leases.Get(ctx, l.name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: cluster.Namespace, Name: l.name}}
	case err != nil:
		return nil, fmt.Errorf("read Lease %s: %w", l.name, err)
	case !naming.BelongsTo(lease, cluster):
		return nil, fmt.Errorf("the Lease %s does not belong to ErlangCluster %s: delete it, if nothing else needs it", l.name, cluster.Name)
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	switch now := time.Now(); {
	case l.isFree(lease.Spec, now), lease.ResourceVersion == "" && l.isFirst(cluster):
		return lease, nil
	case l.expired(lease.Spec, now):
		return lease, nil
	case l.other.holder == "":
		return nil, fmt.Errorf("the Lease %s was deleted or edited while a probe may have held it: this one takes it %s later", l.name, leaseDuration)
	}
	return nil, fmt.Errorf("%q holds the Lease %s", l.other.holder, l.name)
}

// isFree reports whether no other probe can still hold a Lease that was read by now: its last
// holder was this one, or it was released. That nobody is named in it is not enough: it may have
// been deleted or edited while its holder goes on. Nor that this probe is, after another was, unless
// it is what this probe has written itself, when the Lease had expired, and the answer was lost.
func (l *lock) isFree(spec coordinationv1.LeaseSpec, now time.Time) bool {
	switch ptr.Deref(spec.HolderIdentity, "") {
	case "":
		return v1alpha1.IsReleased(spec) || l.heldAt(now)
	case l.identity:
		return l.other.at.IsZero() || l.hasWritten(spec)
	}
	l.lose()
	return false
}

// hasWritten reports whether the Lease is as this probe tried to write it last. A Lease has times
// to the microsecond.
func (l *lock) hasWritten(spec coordinationv1.LeaseSpec) bool {
	renewed := ptr.Deref(spec.RenewTime, metav1.MicroTime{})
	return !renewed.IsZero() && renewed.Truncate(time.Microsecond).Equal(l.tried.Truncate(time.Microsecond))
}

// isFirst reports whether no probe of a cluster has reported, as far as this one knows. Then a
// Lease that does not exist was not deleted, and a new cluster does not wait.
func (l *lock) isFirst(cluster *v1alpha1.ErlangCluster) bool {
	return cluster.Status.Mesh == nil && l.renewed.IsZero() && l.other.at.IsZero()
}

// expired reports whether a Lease that is not free has not changed for as long as it lasts.
func (l *lock) expired(spec coordinationv1.LeaseSpec, now time.Time) bool {
	l.see(spec, now)
	return now.Sub(l.other.at) > leaseDuration
}

// see notes when a Lease that another may hold has changed. That it is deleted, or that its holder
// is removed, is a change. Of one that does not exist, nobody knows what it was since it was read last,
// unless that was just now.
func (l *lock) see(spec coordinationv1.LeaseSpec, now time.Time) {
	holder, renewed := ptr.Deref(spec.HolderIdentity, ""), ptr.Deref(spec.RenewTime, metav1.MicroTime{})
	if holder != l.identity {
		l.tried = metav1.MicroTime{}
	}
	missed := renewed.IsZero() && elapsed(l.other.seen, now) > renewInterval
	if l.other.at.IsZero() || l.other.holder != holder || !l.other.renewed.Equal(&renewed) || missed {
		l.other = heldLease{holder: holder, renewed: renewed, at: now}
	}
	l.other.seen = now
}

// lose ends the right to change nodes at once, because another holds the Lease.
func (l *lock) lose() { l.ours, l.renewed, l.reported = false, time.Time{}, false }

// taken is a Lease as this probe holds it from now on. Its times are for people and metrics. Of
// what others wrote nothing is kept that the API server could refuse.
func (l *lock) taken(lease *coordinationv1.Lease, cluster *v1alpha1.ErlangCluster) *coordinationv1.Lease {
	taken, now := lease.DeepCopy(), metav1.NewMicroTime(time.Now())
	taken.Labels = naming.Labels(cluster.Name)
	taken.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: v1alpha1.Kind,
		Name: cluster.Name, UID: cluster.UID, Controller: ptr.To(true),
	}}
	taken.Spec = coordinationv1.LeaseSpec{
		HolderIdentity: &l.identity, LeaseDurationSeconds: ptr.To(int32(leaseDuration / time.Second)),
		AcquireTime: lease.Spec.AcquireTime, RenewTime: &now, LeaseTransitions: lease.Spec.LeaseTransitions,
	}
	isNew := ptr.Deref(lease.Spec.HolderIdentity, "") != l.identity
	switch {
	case !l.reported:
		taken.Spec.AcquireTime = nil // So v1alpha1.Confirms says no.
	case isNew || taken.Spec.AcquireTime == nil:
		taken.Spec.AcquireTime = &now
	}
	if isNew {
		taken.Spec.LeaseTransitions = ptr.To(min(ptr.Deref(lease.Spec.LeaseTransitions, 0), math.MaxInt32-1) + 1)
	}
	return taken
}

// Why a report is not written.
var (
	errNotHolder   = errors.New("this probe does not hold the Lease")
	errInterrupted = errors.New("the Lease was not renewed in time since this sweep began, so its report may be late: the next one is written")
)

// mayReport is why the report of this pass may not be written; nil if it may. Who does not renew
// the lock for want of a report has to see that nobody else has taken it meanwhile.
func (l *lock) mayReport(ctx context.Context) error {
	if held, err := l.reports(); held || err != nil {
		return err
	}
	lease, err := l.leases.Get(ctx, l.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read Lease %s: %w", l.name, err)
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if holder := ptr.Deref(lease.Spec.HolderIdentity, ""); holder != "" && holder != l.identity {
		l.lose()
		l.see(lease.Spec, time.Now())
		return errNotHolder
	}
	return nil
}

// reports is what is known without reading the Lease.
func (l *lock) reports() (held bool, err error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	now := time.Now()
	l.noticeInterruption(now)
	switch {
	case !l.ours:
		return false, errNotHolder
	case l.begun.Before(l.interrupted):
		return false, errInterrupted
	}
	return l.heldAt(now), nil
}
