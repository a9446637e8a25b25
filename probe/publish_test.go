package probe

import (
	"context"
	"errors"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/probe/sweep"
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

// TestPublishAfterFailedWrite: a report that could not be written counts as the
// previous one, and is written after a later pass, even if that one has nothing new.
func TestPublishAfterFailedWrite(t *testing.T) {
	outcomes := goodCluster(1)
	outcomes[0].Refusals = &sweep.Refusals{Incarnation: 1000}
	down, writes := errors.New("the API server is down"), 0
	p := publisher{heartbeat: time.Minute, write: func(ctx context.Context, _ *v1alpha1.ErlangCluster, _ *v1alpha1.MeshStatus) error {
		if _, limited := ctx.Deadline(); !limited {
			t.Error("a write may take for ever")
		}
		writes++
		return down
	}}
	first := report(nil, wanted(1), resultOf(outcomes...), noon)
	if err := p.publish(t.Context(), chat, nil, first); !errors.Is(err, down) {
		t.Errorf("error %v", err)
	}
	if got := members(chat, names, p.previous(chat))[0].ProvenAt; got != 1000 {
		t.Errorf("the refusal trials count as completed at incarnation %d, want 1000", got)
	}

	down = nil
	for _, want := range []int{2, 2} {
		previous := p.previous(chat)
		if err := p.publish(t.Context(), chat, previous, report(previous, wanted(1), resultOf(goodCluster(1)...), noon.Add(10*time.Second))); err != nil {
			t.Error(err)
		}
		if writes != want {
			t.Errorf("%d writes, want %d", writes, want)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, options := range []Options{{}, {Namespace: "default"}, {Cluster: "chat"}} {
		if _, err := options.withDefaults(); err == nil {
			t.Errorf("%+v are accepted", options)
		}
	}
}
