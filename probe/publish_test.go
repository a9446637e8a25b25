package probe

import (
	"context"
	"errors"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/probe/sweep"
)

// TestPrevious: what was just written counts, even if the cache does not have it yet, and nothing
// counts that was written about an earlier cluster of that name.
func TestPrevious(t *testing.T) {
	older, newer := &v1alpha1.MeshStatus{Links: 1}, &v1alpha1.MeshStatus{Links: 2}
	for name, tc := range map[string]struct {
		uid           string
		cached, wrote *v1alpha1.MeshStatus
		want          *v1alpha1.MeshStatus
	}{
		"nothing yet":                  {uid: "a"},
		"the probe restarted":          {uid: "a", cached: older, want: older},
		"the cache lags":               {uid: "a", cached: older, wrote: newer, want: newer},
		"the cache has nothing yet":    {uid: "a", wrote: newer, want: newer},
		"somebody else wrote since":    {uid: "a", cached: newer, wrote: older, want: older},
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
	p := publisher{write: func(ctx context.Context, _ *v1alpha1.ErlangCluster, _ *v1alpha1.MeshStatus) error {
		if _, limited := ctx.Deadline(); !limited {
			t.Error("a write may take for ever")
		}
		writes++
		return down
	}}
	first := report(nil, wanted(1), resultOf(outcomes...), noon)
	if err := p.publish(t.Context(), chat, nil, first, noon); !errors.Is(err, down) {
		t.Errorf("error %v", err)
	}
	if got := members(chat, names, p.previous(chat), "", nil)[0].ProvenAt; got != 1000 {
		t.Errorf("the refusal trials count as completed at incarnation %d, want 1000", got)
	}

	down = nil
	for _, want := range []int{2, 2} {
		previous := p.previous(chat)
		if err := p.publish(t.Context(), chat, previous, report(previous, wanted(1), resultOf(goodCluster(1)...), noon), noon); err != nil {
			t.Error(err)
		}
		if writes != want {
			t.Errorf("%d writes, want %d", writes, want)
		}
	}
}

// TestReplacedReport: a report that somebody has edited or removed is written again with the
// next pass.
func TestReplacedReport(t *testing.T) {
	edited := func(edit func(*v1alpha1.MeshStatus)) *v1alpha1.MeshStatus {
		mesh := report(nil, wanted(1), resultOf(goodCluster(2)...), noon)
		edit(mesh)
		return mesh
	}
	for name, tc := range map[string]struct {
		cached *v1alpha1.MeshStatus
		after  time.Duration
		want   bool
	}{
		"as it was written": {edited(func(*v1alpha1.MeshStatus) {}), 10 * time.Second, false},
		"removed":           {nil, 10 * time.Second, true},
		"not cached yet":    {nil, 2 * time.Second, false},
		"a verdict":         {edited(func(m *v1alpha1.MeshStatus) { m.Nodes[0].Reason = "Fine" }), 10 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			writes := 0
			p := publisher{write: func(context.Context, *v1alpha1.ErlangCluster, *v1alpha1.MeshStatus) error {
				writes++
				return nil
			}}
			cluster := chat.DeepCopy()
			for _, now := range []time.Time{noon, noon.Add(tc.after)} {
				previous := p.previous(cluster)
				if err := p.publish(t.Context(), cluster, previous, report(previous, wanted(1), resultOf(goodCluster(2)...), noon), now); err != nil {
					t.Fatal(err)
				}
				cluster.Status.Mesh = tc.cached
			}
			if (writes == 2) != tc.want {
				t.Errorf("%d writes", writes)
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

// TestNodesThatWaitForTheirFiles are reported at once, and are likely to have the former
// cookie in the next sweep, as all are when the cookie's Secret has changed.
func TestNodesThatWaitForTheirFiles(t *testing.T) {
	desired := wanted(1)
	desired.cookieVersion = "7"
	before := report(nil, desired, resultOf(goodCluster(2)...), noon)
	waiting := goodCluster(2)
	waiting[1].FormerCookie = true
	after := report(before, desired, resultOf(waiting...), noon)
	isUrgent := func(previous, current *v1alpha1.MeshStatus) bool { return urgent(previous, current, waiting) }
	if isUrgent(before, before) || !isUrgent(before, after) || isUrgent(after, after) {
		t.Errorf("urgent: %t, %t and %t", isUrgent(before, before), isUrgent(before, after), isUrgent(after, after))
	}
	cluster := chat.DeepCopy()
	cluster.Spec.Replicas = ptr.To(int32(3))
	for _, tc := range []struct {
		version string
		likely  [3]bool
	}{{"7", [3]bool{false, true, false}}, {"8", [3]bool{true, true, false}}} {
		for i, member := range members(cluster, names, after, tc.version, nil) {
			if member.FormerCookie != tc.likely[i] {
				t.Errorf("version %s: node %d is likely to have the former cookie: %t", tc.version, i, member.FormerCookie)
			}
		}
	}
}
