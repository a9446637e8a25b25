package probe

import (
	"context"
	"errors"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	coordination, err := coordinationclient.NewForConfigAndClient(config, manager.GetHTTPClient())
	if err != nil {
		return nil, err
	}
	names := naming.Names{Cluster: options.Cluster, Namespace: options.Namespace}
	return &lock{
		leases: coordination.Leases(names.Namespace), name: names.Probe(), identity: options.Identity,
		log: manager.GetLogger().WithName("lease"), changed: make(chan struct{}, 1), passes: make(chan struct{}, 1), acquired: make(chan event.GenericEvent, 1),
	}, nil
}

// read returns the Lease if this probe may take it.
func (l *lock) read(ctx context.Context, cluster *v1alpha1.ErlangCluster) (*coordinationv1.Lease, error) {
	lease, err := l.leases.Get(ctx, l.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: cluster.Namespace, Name: l.name}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Lease %s: %w", l.name, err)
	}
	if !belongs(lease, cluster) {
		return nil, fmt.Errorf("the Lease %s does not belong to ErlangCluster %s: delete it, if nothing else needs it", l.name, cluster.Name)
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if !l.isFree(lease.Spec, time.Now()) {
		return nil, fmt.Errorf("probe %s holds the Lease %s", l.other.holder, l.name)
	}
	return lease, nil
}

// belongs reports whether a Lease is the cluster's, or of a former one of its name. Labels that
// somebody has removed are restored where the controller still tells.
func belongs(lease *coordinationv1.Lease, cluster *v1alpha1.ErlangCluster) bool {
	owner := metav1.GetControllerOf(lease)
	if owner != nil && owner.Kind != "ErlangCluster" {
		return false
	}
	return lease.Labels[naming.LabelCluster] == cluster.Name || owner != nil && owner.UID == cluster.UID
}

// isFree reports whether nobody else holds a Lease that was read by now: there is no other
// holder, or it has not renewed the Lease for as long as it lasts.
func (l *lock) isFree(spec coordinationv1.LeaseSpec, now time.Time) bool {
	holder, renewed := ptr.Deref(spec.HolderIdentity, ""), ptr.Deref(spec.RenewTime, metav1.MicroTime{})
	if holder == "" || holder == l.identity {
		return true
	}
	l.ours = false
	if l.other.holder != holder || !l.other.renewed.Equal(&renewed) {
		l.other = heldLease{holder, renewed, now}
	}
	return now.Sub(l.other.at) > leaseDuration
}

// taken is a Lease as this probe holds it from now on. Its times are for people and metrics.
func (l *lock) taken(lease *coordinationv1.Lease, cluster *v1alpha1.ErlangCluster) *coordinationv1.Lease {
	taken, now := lease.DeepCopy(), metav1.NewMicroTime(time.Now())
	taken.Labels = naming.Labels(cluster.Name)
	taken.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "ErlangCluster",
		Name: cluster.Name, UID: cluster.UID, Controller: ptr.To(true),
	}}
	if before := ptr.Deref(lease.Spec.HolderIdentity, ""); before != l.identity {
		taken.Spec.AcquireTime = &now
		taken.Spec.LeaseTransitions = ptr.To(ptr.Deref(lease.Spec.LeaseTransitions, 0) + 1)
	}
	taken.Spec.HolderIdentity, taken.Spec.RenewTime = &l.identity, &now
	taken.Spec.LeaseDurationSeconds = ptr.To(int32(leaseDuration / time.Second))
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
		l.ours = false
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
