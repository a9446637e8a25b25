package observe

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// Heartbeats are when the Leases of the probes were last seen to change. That is measured by
// this manager's clock alone: the probes' may be ahead or behind. What was there when this
// manager first looked counts from then. What others than the probe's pods write is no heartbeat, and
// neither is what a pod writes that holds the Lease before it has reported.
type Heartbeats struct {
	mutex sync.Mutex
	last  map[types.NamespacedName]heartbeat // by cluster
}

type heartbeat struct {
	cluster types.UID
	pods    []string // of the probe, as they were observed last; nil before the first time
	holder  string
	renewed metav1.MicroTime
	at      time.Time
	held    time.Time // when the Lease was last seen to be renewed, by whoever has not reported yet, too
	silent  bool      // and Silenced has returned it
	revived bool      // it came after a silence, and the cache may not have what it confirms
	absent  time.Time // when the API server had no Lease; zero when it was not asked
	foreign string    // who has held the Lease since, and is no pod of the probe
}

// Saw takes a Lease that was seen at some time, and reports whether its probe was silent, and
// something is to be reported of it now. One that was released is no heartbeat.
func (h *Heartbeats) Saw(lease *coordinationv1.Lease, now time.Time) (cluster types.NamespacedName, wasSilent bool) {
	owner, holder := v1alpha1.ControllerOf(lease), ptr.Deref(lease.Spec.HolderIdentity, "")
	cluster = types.NamespacedName{Namespace: lease.Namespace, Name: lease.Labels[naming.LabelCluster]}
	if owner == nil || lease.Name != (naming.Names{Cluster: cluster.Name}).Probe() {
		return cluster, false
	}
	seen := heartbeat{cluster: owner.UID, holder: holder, renewed: ptr.Deref(lease.Spec.RenewTime, metav1.MicroTime{}), at: now, held: now}
	h.mutex.Lock()
	defer h.mutex.Unlock()
	before := h.last[cluster]
	isSame := before.cluster == seen.cluster
	switch {
	case !isSame && before.pods != nil:
		return cluster, false // It is of a former cluster of this name.
	case holder == "":
		if isSame {
			before.foreign = ""
			h.keep(cluster, before)
		}
		return cluster, false
	case isSame:
		if before.holder == seen.holder && before.renewed.Equal(&seen.renewed) {
			return cluster, false
		}
		if seen.pods = before.pods; seen.pods != nil && !slices.Contains(seen.pods, holder) {
			isNews := before.silent && before.foreign != holder
			before.foreign = holder
			h.keep(cluster, before)
			return cluster, isNews
		}
		if !v1alpha1.Confirms(lease.Spec) {
			seen.at, seen.silent, seen.revived = before.at, before.silent, before.revived
			h.keep(cluster, seen)
			return cluster, false
		}
		seen.revived = before.revived || now.Sub(before.at) > state.HeartbeatTimeout
	}
	h.keep(cluster, seen)
	return cluster, before.silent
}

func (h *Heartbeats) keep(cluster types.NamespacedName, seen heartbeat) {
	if h.last == nil {
		h.last = map[types.NamespacedName]heartbeat{}
	}
	h.last[cluster] = seen
}

// of is the last heartbeat of a cluster's probe, whose pods are these from now on.
func (h *Heartbeats) of(cluster *v1alpha1.ErlangCluster, pods []corev1.Pod, now time.Time) heartbeat {
	key := client.ObjectKeyFromObject(cluster)
	h.mutex.Lock()
	defer h.mutex.Unlock()
	last := h.last[key]
	if last.cluster != cluster.UID {
		last = heartbeat{cluster: cluster.UID, at: now}
	}
	last.pods = make([]string, 0, len(pods))
	for i := range pods {
		last.pods = append(last.pods, pods[i].Name)
	}
	h.keep(key, last)
	return last
}

// Last is when the last heartbeat of a cluster's probe was seen; false when there was none.
func (h *Heartbeats) Last(cluster types.NamespacedName) (time.Time, bool) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	last := h.last[cluster]
	return last.at, last.holder != ""
}

// Silenced are the clusters whose probes have become silent since it was called last.
func (h *Heartbeats) Silenced(now time.Time) (clusters []types.NamespacedName) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	for cluster, last := range h.last {
		if !last.silent && now.Sub(last.at) > state.HeartbeatTimeout {
			last.silent = true
			h.last[cluster] = last
			clusters = append(clusters, cluster)
		}
	}
	return clusters
}

// sawNone notes that the API server has no Lease of a cluster's probe, unless one was seen meanwhile.
func (h *Heartbeats) sawNone(cluster types.NamespacedName, now time.Time) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	last := h.last[cluster]
	last.foreign = ""
	if last.holder == "" {
		last.absent = now
	}
	h.keep(cluster, last)
}

// caughtUp notes that the cache has what was confirmed until some time.
func (h *Heartbeats) caughtUp(cluster types.NamespacedName, until time.Time) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if last := h.last[cluster]; !last.at.After(until) {
		last.revived = false
		h.keep(cluster, last)
	}
}

func (h *Heartbeats) forget(cluster types.NamespacedName) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	delete(h.last, cluster)
}

// heartbeat reads when the probe was last heard of. Before it counts as silent, its Lease is
// read from the API server: this manager may be what has heard nothing. One that never was there
// is looked for twice a minute, not in each pass: a cluster is new, and no pod of it runs yet.
func (o *Observer) heartbeat(ctx context.Context, observed *state.State) error {
	last := o.lastHeartbeat(observed)
	if observed.ProbeIsSilent() {
		if observed.Now.Sub(last.absent) < state.HeartbeatTimeout {
			return nil
		}
		if err := o.readLease(ctx, observed); err != nil {
			return err
		}
		last = o.lastHeartbeat(observed)
	}
	if last.revived && !observed.ProbeIsSilent() {
		return o.readReport(ctx, observed)
	}
	return nil
}

// lastHeartbeat sets what is known of the probe without asking the API server.
func (o *Observer) lastHeartbeat(observed *state.State) heartbeat {
	last := o.Heartbeats.of(observed.Cluster, observed.ProbePods, observed.Now)
	observed.HeartbeatObserved, observed.ProbeHolder, observed.ForeignHolder = last.at, last.holder, last.foreign
	return last
}

// readLease reads the Lease of a probe that seems to be silent from the API server.
func (o *Observer) readLease(ctx context.Context, observed *state.State) error {
	var lease coordinationv1.Lease
	key := types.NamespacedName{Namespace: observed.Names.Namespace, Name: observed.Names.Probe()}
	if err := o.Live.Get(ctx, key, &lease); apierrors.IsNotFound(err) {
		o.Heartbeats.sawNone(client.ObjectKeyFromObject(observed.Cluster), observed.Now)
		return nil
	} else if err != nil {
		return fmt.Errorf("get Lease %s: %w", key, err)
	}
	observed.LeaseTaken = !naming.BelongsTo(&lease, observed.Cluster)
	o.Heartbeats.Saw(&lease, observed.Now)
	isHeld := observed.Now.Sub(o.lastHeartbeat(observed).held) <= state.HeartbeatTimeout
	holder := ptr.Deref(lease.Spec.HolderIdentity, "")
	if observed.ProbeIsSilent() && !isHeld && holder != "" && holder != observed.ForeignHolder && metav1.IsControlledBy(&lease, observed.Cluster) {
		observed.SilentLease = &lease
	}
	return nil
}

// readReport reads from the API server the report that a heartbeat after a silence confirms. The cache may have the
// one of before the silence, whatever has happened since.
func (o *Observer) readReport(ctx context.Context, observed *state.State) error {
	key, now := client.ObjectKeyFromObject(observed.Cluster), v1alpha1.NewUnstructured()
	if err := o.Live.Get(ctx, key, now); err != nil {
		return fmt.Errorf("get ErlangCluster %s: %w", key, err)
	}
	live, err := v1alpha1.Decode(now)
	if err != nil || live.UID != observed.Cluster.UID {
		return nil // which another pass is about
	}
	if equality.Semantic.DeepEqual(observed.Cluster.Status.Mesh, live.Status.Mesh) {
		o.Heartbeats.caughtUp(key, observed.HeartbeatObserved)
	}
	observed.Cluster.Status.Mesh = live.Status.Mesh
	return nil
}
