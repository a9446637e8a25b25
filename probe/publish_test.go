package probe

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// TestPrevious: what was just written counts, even if the cache does not have it yet, and nothing
// counts that was written about an earlier cluster of that name.
func TestPrevious(t *testing.T) {
	older := &v1alpha1.MeshStatus{HeartbeatTime: *at(noon)}
	newer := &v1alpha1.MeshStatus{HeartbeatTime: *at(noon.Add(time.Second))}
	for name, tc := range map[string]struct {
		uid           string
		cached, wrote *v1alpha1.MeshStatus
		want          *v1alpha1.MeshStatus
	}{
		"nothing yet":                  {uid: "a"},
		"the probe restarted":          {uid: "a", cached: older, want: older},
		"the cache lags":               {uid: "a", cached: older, wrote: newer, want: newer},
		"the cache has nothing yet":    {uid: "a", wrote: newer, want: newer},
		"another probe wrote since":    {uid: "a", cached: newer, wrote: older, want: newer},
		"another cluster of that name": {uid: "b", wrote: newer},
	} {
		t.Run(name, func(t *testing.T) {
			var p publisher
			if tc.wrote != nil {
				p.cluster, p.last = "a", tc.wrote
			}
			cluster := chat.DeepCopy()
			cluster.UID, cluster.Status.Mesh = types.UID(tc.uid), tc.cached
			if got := p.previous(cluster); got != tc.want {
				t.Errorf("previous is %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	for _, options := range []Options{{}, {Namespace: "default"}, {Cluster: "chat"}} {
		if _, err := options.withDefaults(); err == nil {
			t.Errorf("%+v are accepted", options)
		}
	}
}
