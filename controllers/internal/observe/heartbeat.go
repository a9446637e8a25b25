package observe

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
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
// manager first looked counts from then. What others than the probe's pods write is no heartbeat.
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
	silent  bool      // and Silenced has returned it
	absent  time.Time // when the API server had no Lease; zero when it was not asked
	foreign string    // who has held the Lease since, and is no pod of the probe
}

// Saw takes a Lease that was seen at some time, and reports whether its probe was silent, and
// something is to be reported of it now. One that was released is no heartbeat.
func (h *Heartbeats) Saw(lease *coordinationv1.Lease, now time.Time) (cluster types.NamespacedName, wasSilent bool) {
	owner, holder := metav1.GetControllerOf(lease), ptr.Deref(lease.Spec.HolderIdentity, "")
	cluster = types.NamespacedName{Namespace: lease.Namespace, Name: lease.Labels[naming.LabelCluster]}
	if owner == nil || owner.Kind != "ErlangCluster" || lease.Name != (naming.Names{Cluster: cluster.Name}).Probe() {
		return cluster, false
	}
	seen := heartbeat{cluster: owner.UID, holder: holder, renewed: ptr.Deref(lease.Spec.RenewTime, metav1.MicroTime{}), at: now}
	h.mutex.Lock()
	defer h.mutex.Unlock()
	before := h.last[cluster]
	if before.cluster == seen.cluster && holder == "" {
		before.foreign = ""
		h.keep(cluster, before)
	}
	if holder == "" {
		return cluster, false
	}
	if before.cluster == seen.cluster {
		if before.holder == seen.holder && before.renewed.Equal(&seen.renewed) {
			return cluster, false
		}
		if seen.pods = before.pods; seen.pods != nil && !slices.Contains(seen.pods, holder) {
			isNews := before.silent && before.foreign != holder
			before.foreign = holder
			h.keep(cluster, before)
			return cluster, isNews
		}
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

func (h *Heartbeats) forget(cluster types.NamespacedName) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	delete(h.last, cluster)
}

// heartbeat reads when the probe was last heard of. Before it counts as silent, its Lease is
// read from the API server: this manager may be what has heard nothing. One that never was there
// is looked for twice a minute, not in each pass: a cluster is new, and no pod of it runs yet.
func (o *Observer) heartbeat(ctx context.Context, observed *state.State) error {
	set := func() heartbeat {
		last := o.Heartbeats.of(observed.Cluster, observed.ProbePods, observed.Now)
		observed.HeartbeatObserved, observed.ProbeHolder, observed.ForeignHolder = last.at, last.holder, last.foreign
		return last
	}
	if last := set(); !observed.ProbeIsSilent() || observed.Now.Sub(last.absent) < state.HeartbeatTimeout {
		return nil
	}
	var lease coordinationv1.Lease
	key := types.NamespacedName{Namespace: observed.Names.Namespace, Name: observed.Names.Probe()}
	if err := o.Live.Get(ctx, key, &lease); apierrors.IsNotFound(err) {
		o.Heartbeats.sawNone(client.ObjectKeyFromObject(observed.Cluster), observed.Now)
		return nil
	} else if err != nil {
		return fmt.Errorf("get Lease %s: %w", key, err)
	}
	o.Heartbeats.Saw(&lease, observed.Now)
	set()
	if holder := ptr.Deref(lease.Spec.HolderIdentity, ""); observed.ProbeIsSilent() && holder != "" && holder != observed.ForeignHolder && metav1.IsControlledBy(&lease, observed.Cluster) {
		observed.SilentLease = &lease
	}
	return nil
}
