package probe

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// writeTimeout bounds a write: an API server that does not answer must not delay the next
// sweep for longer.
const writeTimeout = 5 * time.Second

// cacheLag is how long the cache may take to have what was written.
const cacheLag = 5 * time.Second

// publisher writes reports to status.mesh. It remembers the last one, because the cache may
// not have it yet, and because it may not have been written.
type publisher struct {
	write     func(ctx context.Context, cluster *v1alpha1.ErlangCluster, mesh *v1alpha1.MeshStatus) error
	heartbeat time.Duration

	cluster   types.UID // that the last report is about
	last      *v1alpha1.MeshStatus
	unwritten bool
	latest    time.Time // when the latest report was made, written or not
	written   time.Time // when the last report was made that was written
}

// previous is the report before the one that is to be made.
func (p *publisher) previous(cluster *v1alpha1.ErlangCluster) *v1alpha1.MeshStatus {
	if p.cluster != cluster.UID || p.last == nil {
		return cluster.Status.Mesh
	}
	return p.last
}

// replaced reports whether somebody has replaced or removed the last report.
func (p *publisher) replaced(cluster *v1alpha1.ErlangCluster, now time.Time) bool {
	if p.cluster != cluster.UID || p.last == nil || now.Sub(p.written) < cacheLag {
		return false
	}
	cached := cluster.Status.Mesh
	return cached == nil || !cached.HeartbeatTime.Equal(&p.last.HeartbeatTime) || !same(cached, p.last)
}

// publish writes a report that differs from the previous one, or confirms the previous one
// when that is due, or when the cluster does not have it. A report that cannot be written is kept
// and written after a later pass: the nodes are swept meanwhile, and what was tried at them
// is not tried again.
func (p *publisher) publish(ctx context.Context, cluster *v1alpha1.ErlangCluster, previous, current *v1alpha1.MeshStatus) error {
	due := p.due(previous, current) || p.replaced(cluster, current.HeartbeatTime.Time)
	p.latest = current.HeartbeatTime.Time
	if !p.unwritten && !due && same(previous, current) {
		return nil
	}
	p.cluster, p.last = cluster.UID, current
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	err := p.write(ctx, cluster, current)
	if p.unwritten = err != nil; !p.unwritten {
		p.written = p.latest
	}
	return err
}

// urgent reports whether a report has a new failure, or a node that begins to wait for its
// file, or is due.
func (p *publisher) urgent(previous, current *v1alpha1.MeshStatus) bool {
	return p.due(previous, current) && previous != nil || slices.ContainsFunc(current.Nodes, func(node v1alpha1.NodeStatus) bool {
		known := previous.Node(node.Pod)
		waits := node.FormerCookie && (known == nil || !known.FormerCookie)
		return waits || !node.Verified() && (known == nil || known.Reason != node.Reason)
	})
}

// due reports whether the previous report is to be confirmed: it is as old as the heartbeat
// interval, or will be when the next one is made, because reports take long while nodes
// hang.
func (p *publisher) due(previous, current *v1alpha1.MeshStatus) bool {
	if previous == nil {
		return true
	}
	if previous.HeartbeatTime.After(current.HeartbeatTime.Time) {
		return true // By a clock that was ahead, or by hand.
	}
	age, took := current.HeartbeatTime.Sub(previous.HeartbeatTime.Time), current.HeartbeatTime.Sub(p.latest)
	return age >= p.heartbeat || took > p.heartbeat/3 && age+took > p.heartbeat
}

// writeStatus applies status.mesh to the very cluster that was swept: a later cluster of
// the same name is left alone.
func writeStatus(c client.Client) func(context.Context, *v1alpha1.ErlangCluster, *v1alpha1.MeshStatus) error {
	return func(ctx context.Context, cluster *v1alpha1.ErlangCluster, mesh *v1alpha1.MeshStatus) error {
		status, err := cluster.ApplyStatus(&struct {
			Mesh *v1alpha1.MeshStatus `json:"mesh"`
		}{mesh})
		if err != nil {
			return err
		}
		configuration := client.ApplyConfigurationFromUnstructured(status)
		if err := c.Status().Apply(ctx, configuration, client.FieldOwner(v1alpha1.ProbeFieldOwner), client.ForceOwnership); err != nil {
			return fmt.Errorf("write status.mesh: %w", err)
		}
		return nil
	}
}

// same reports whether two reports differ in nothing but their time.
func same(a, b *v1alpha1.MeshStatus) bool {
	if a == nil || b == nil {
		return a == b
	}
	a, b = a.DeepCopy(), b.DeepCopy()
	a.HeartbeatTime, b.HeartbeatTime = metav1.Time{}, metav1.Time{}
	return equality.Semantic.DeepEqual(a, b)
}
