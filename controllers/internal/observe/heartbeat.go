package observe

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// observedHeartbeat is a probe's heartbeat, and when it was first observed.
type observedHeartbeat struct {
	cluster types.UID
	value   time.Time
	at      time.Time
}

// heartbeat is when the probe's last heartbeat was first observed. The age of a heartbeat
// is measured by this manager's clock alone: the probe's may be ahead or behind. One that
// was there before this manager started is as old as it says, and never from the future.
func (o *Observer) heartbeat(cluster *v1alpha1.ErlangCluster, now time.Time) time.Time {
	if cluster.Status.Mesh == nil {
		return time.Time{}
	}
	key, value := client.ObjectKeyFromObject(cluster), cluster.Status.Mesh.HeartbeatTime.Time
	known, ok := o.heartbeats.Load(key)
	last, _ := known.(observedHeartbeat)
	switch {
	case ok && last.cluster == cluster.UID && last.value.Equal(value):
		return last.at
	case !ok && value.Before(now):
		last.at = value
	default:
		last.at = now
	}
	o.heartbeats.Store(key, observedHeartbeat{cluster: cluster.UID, value: value, at: last.at})
	return last.at
}
