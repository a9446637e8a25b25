package probe

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/probe/sweep"
)

// writeTimeout bounds a write: an API server that does not answer must not delay the next
// sweep for longer.
const writeTimeout = 5 * time.Second

// cacheLag is how long the cache may take to have what was written.
const cacheLag = 5 * time.Second

// publisher writes reports to status.mesh. It remembers the last one, because the cache may
// not have it yet, and because it may not have been written.
type publisher struct {
	write func(ctx context.Context, cluster *v1alpha1.ErlangCluster, mesh *v1alpha1.MeshStatus) error

	cluster   types.UID // that the last report is about
	last      *v1alpha1.MeshStatus
	unwritten bool
	written   time.Time // when the last report was written
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
	if !same(cluster.Status.Mesh, p.last) {
		return true
	}
	p.last = cluster.Status.Mesh // The same object is compared sooner the next time.
	return false
}

// publish writes a report that differs from the previous one, or that the cluster does not
// have. A report that cannot be written is kept and written after a later pass: the nodes are
// swept meanwhile, and what was tried at them is not tried again.
func (p *publisher) publish(ctx context.Context, cluster *v1alpha1.ErlangCluster, previous, current *v1alpha1.MeshStatus, now time.Time) error {
	if !p.unwritten && same(previous, current) && !p.replaced(cluster, now) {
		return nil
	}
	p.cluster, p.last = cluster.UID, current
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	err := p.write(ctx, cluster, current)
	if p.unwritten = err != nil; !p.unwritten {
		p.written = now
	}
	return err
}

// urgent reports whether a report of some outcomes has a new failure, or a link that has become
// silent, or a node that begins to wait for its file.
func urgent(previous, current *v1alpha1.MeshStatus, outcomes []sweep.Outcome) bool {
	for i, node := range current.Nodes {
		known := cmp.Or(previous.Node(node.Pod), &v1alpha1.NodeStatus{})
		fails := !node.Verified() && known.Reason != node.Reason
		waits := node.FormerCookie && !known.FormerCookie
		silent := len(outcomes[i].Silent) > 0 && !equality.Semantic.DeepEqual(*known, node)
		if fails || waits || silent {
			return true
		}
	}
	return false
}

// writeStatus applies status.mesh to the very cluster that was swept: a later cluster of
// the same name is left alone.
func writeStatus(c client.Client, lock *lock) func(context.Context, *v1alpha1.ErlangCluster, *v1alpha1.MeshStatus) error {
	return func(ctx context.Context, cluster *v1alpha1.ErlangCluster, mesh *v1alpha1.MeshStatus) error {
		if err := lock.mayReport(ctx); err != nil {
			return err
		}
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

// same reports whether two reports do not differ.
func same(a, b *v1alpha1.MeshStatus) bool { return a == b || equality.Semantic.DeepEqual(a, b) }
