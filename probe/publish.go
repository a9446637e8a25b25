package probe

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// fieldOwner owns status.mesh, and nothing else.
const fieldOwner = client.FieldOwner("erlang-operator-probe")

// publisher writes reports to status.mesh, and remembers the last one, because the cache
// may not have it yet.
type publisher struct {
	client    client.Client
	heartbeat time.Duration

	cluster types.UID // that the last report is about
	last    *v1alpha1.MeshStatus
}

// previous is the report before the one that is to be made.
func (p *publisher) previous(cluster *v1alpha1.ErlangCluster) *v1alpha1.MeshStatus {
	cached := cluster.Status.Mesh
	if p.cluster != cluster.UID || p.last == nil {
		return cached
	}
	if cached != nil && cached.HeartbeatTime.After(p.last.HeartbeatTime.Time) {
		return cached
	}
	return p.last
}

// publish writes a report that differs from the previous one, or confirms the previous
// one when it is as old as the heartbeat interval.
func (p *publisher) publish(ctx context.Context, cluster *v1alpha1.ErlangCluster, previous, current *v1alpha1.MeshStatus) error {
	if same(previous, current) && current.HeartbeatTime.Sub(previous.HeartbeatTime.Time) < p.heartbeat {
		return nil
	}
	if err := p.write(ctx, cluster, current); err != nil {
		return err
	}
	p.cluster, p.last = cluster.UID, current
	return nil
}

// write applies status.mesh to the very cluster that was swept: a later cluster of the
// same name is left alone.
func (p *publisher) write(ctx context.Context, cluster *v1alpha1.ErlangCluster, mesh *v1alpha1.MeshStatus) error {
	status, err := cluster.ApplyStatus(&struct {
		Mesh *v1alpha1.MeshStatus `json:"mesh"`
	}{mesh})
	if err != nil {
		return err
	}
	configuration := client.ApplyConfigurationFromUnstructured(status)
	if err := p.client.Status().Apply(ctx, configuration, fieldOwner, client.ForceOwnership); err != nil {
		return fmt.Errorf("write status.mesh: %w", err)
	}
	return nil
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
