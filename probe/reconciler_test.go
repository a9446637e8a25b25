package probe

import (
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/probe/mesh"
	"github.com/erlang-operator/erlang-operator/probe/sweep"
)

func TestInterval(t *testing.T) {
	options, err := Options{Namespace: "default", Cluster: "chat"}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	proven := goodCluster(2)
	for i := range proven {
		proven[i].Refusals = &sweep.Refusals{Incarnation: proven[i].Incarnation}
	}
	unproven := goodCluster(2)
	apart := goodCluster(2)
	for i := range apart {
		apart[i].Refusals, apart[i].Peers = &sweep.Refusals{Incarnation: apart[i].Incarnation}, nil
	}
	failing := func(stage v1alpha1.Stage, reason string) []sweep.Outcome {
		outcomes := goodCluster(2)
		outcomes[1].Stage, outcomes[1].Reason = stage, reason
		return outcomes
	}
	mismatch := failing(v1alpha1.StageHandshake, v1alpha1.ReasonCookieMismatch)
	untrusted := failing(v1alpha1.StageTLS, v1alpha1.ReasonCertificateUntrusted)
	gone := failing(v1alpha1.StageConnectDistribution, v1alpha1.ReasonConnectionRefused)
	outdated, changing := goodCluster(2), goodCluster(2)
	for i := range proven {
		outdated[i].Refusals, changing[i].Refusals = proven[i].Refusals, proven[i].Refusals
		changing[i].Canary = &sweep.Canary{Accepted: true}
	}
	outdated[1].Outdated = true
	refusing := slices.Clone(changing)
	refusing[1].Canary = &sweep.Canary{}
	for name, tc := range map[string]struct {
		result  []sweep.Outcome
		failed  bool          // to make a link
		lost    int           // links
		changed time.Duration // ago
		want    time.Duration
	}{
		"all is well":                           {result: proven, changed: time.Hour, want: 10 * time.Second},
		"all has just become well":              {result: proven, changed: 0, want: 10 * time.Second},
		"refusals are not proven":               {result: unproven, changed: time.Hour, want: 5 * time.Second},
		"links are missing":                     {result: apart, changed: time.Hour, want: 5 * time.Second},
		"a cookie is wrong":                     {result: mismatch, changed: 10 * time.Second, want: 5 * time.Second},
		"a cookie has been wrong for long":      {result: mismatch, changed: 2 * time.Minute, want: 15 * time.Second},
		"a certificate has been wrong for long": {result: untrusted, changed: 2 * time.Minute, want: 15 * time.Second},
		"a node has been gone for long":         {result: gone, changed: 2 * time.Minute, want: 5 * time.Second},
		"a link has failed for long":            {result: apart, failed: true, changed: 2 * time.Minute, want: 15 * time.Second},
		"links have just gone":                  {result: apart, changed: 0, want: time.Second},
		"links go while others are made":        {result: apart, lost: 3, want: 5 * time.Second},
		"links went a little ago":               {result: apart, changed: 3 * time.Second, want: 3 * time.Second},
		"the clock was set backwards":           {result: apart, changed: -time.Hour, want: time.Second},
		"a certificate is not served":           {result: outdated, changed: time.Hour, want: 5 * time.Second},
		"the CA changes":                        {result: changing, changed: time.Hour, want: 5 * time.Second},
		"the CA has not been taken for long":    {result: refusing, changed: 2 * time.Minute, want: 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReconciler(nil, options)
			r.now = func() time.Time { return noon }
			r.changed = noon.Add(-tc.changed)
			result := resultOf(tc.result...)
			if tc.failed {
				result.Failed = []mesh.Edge{{From: result.Outcomes[0].Node, To: result.Outcomes[1].Node}}
			}
			result.Lost = tc.lost
			if got := r.interval(result, report(nil, result, names, 1, noon)); got != tc.want {
				t.Errorf("the next sweep is in %s, want %s", got, tc.want)
			}
		})
	}
}

// TestPrevious: what was just written counts, even where the cache has not heard of
// it, and nothing counts that was written about an earlier cluster of the name.
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
			r := newReconciler(nil, Options{})
			if tc.wrote != nil {
				r.last = written{cluster: "a", mesh: tc.wrote}
			}
			cluster := chat.DeepCopy()
			cluster.UID, cluster.Status.Mesh = types.UID(tc.uid), tc.cached
			if got := r.previous(cluster); got != tc.want {
				t.Errorf("previous is %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	for _, options := range []Options{{}, {Namespace: "default"}, {Cluster: "chat"}} {
		if _, err := options.withDefaults(); err == nil {
			t.Errorf("%+v will do", options)
		}
	}
}
