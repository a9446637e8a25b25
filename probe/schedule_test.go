package probe

import (
	"slices"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/probe/mesh"
	"github.com/erlang-operator/erlang-operator/probe/sweep"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

// TestTimeOfVerdict: from a sweep that found nothing wrong to the verdict on a node that has just
// stopped answering, whichever stage that shows in, there is a second less than the 15 s that are
// promised.
func TestTimeOfVerdict(t *testing.T) {
	interval, limits := Intervals{}.withDefaults().Settled, verify.DefaultLimits()
	for _, stage := range []time.Duration{limits.Resolve, limits.Connect, limits.Lookup, limits.ConnectDistribution, limits.TLS, limits.Handshake, limits.Call} {
		if latest := interval + limits.Confirm + max(stage, limits.Tries); latest > 14*time.Second {
			t.Errorf("a verdict may come after %s", latest)
		}
	}
}

func TestNextSweep(t *testing.T) {
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
	waiting := slices.Clone(proven)
	waiting[1].FormerCookie = true
	for name, tc := range map[string]struct {
		result  []sweep.Outcome
		failed  bool          // to make a link
		lost    int           // links
		idle    bool          // read-only
		took    time.Duration // to verify the nodes
		swept   time.Duration // how long the sweep took
		changed time.Duration // ago
		want    time.Duration
	}{
		"all is well":                           {result: proven, changed: time.Hour, want: 4800 * time.Millisecond},
		"all has just become well":              {result: proven, changed: 0, want: 4800 * time.Millisecond},
		"refusals are not proven":               {result: unproven, changed: time.Hour, want: 5 * time.Second},
		"links are missing":                     {result: apart, changed: time.Hour, want: 5 * time.Second},
		"a cookie is wrong":                     {result: mismatch, changed: 10 * time.Second, want: 5 * time.Second},
		"a cookie has been wrong for long":      {result: mismatch, changed: 2 * time.Minute, want: 15 * time.Second},
		"a certificate has been wrong for long": {result: untrusted, changed: 2 * time.Minute, want: 15 * time.Second},
		"a node has been gone for long":         {result: gone, changed: 2 * time.Minute, want: 5 * time.Second},
		"a link has failed for long":            {result: apart, failed: true, changed: 2 * time.Minute, want: 15 * time.Second},
		"links have just gone":                  {result: apart, changed: 0, want: 250 * time.Millisecond},
		"links have just gone from many nodes":  {result: apart, took: 2 * time.Second, want: 2 * time.Second},
		"and some nodes hang":                   {result: apart, took: 14 * time.Second, want: 5 * time.Second},
		"and takes long to fail":                {result: apart, failed: true, swept: 8 * time.Second, changed: 2 * time.Minute, want: 7 * time.Second},
		"and takes very long to fail":           {result: apart, failed: true, swept: 20 * time.Second, changed: 2 * time.Minute, want: 5 * time.Second},
		"links go while others are made":        {result: apart, lost: 3, want: 5 * time.Second},
		"links went a little ago":               {result: apart, changed: 3 * time.Second, want: 750 * time.Millisecond},
		"a link has just failed":                {result: apart, failed: true, changed: 0, want: time.Second},
		"a link failed a little ago":            {result: apart, failed: true, changed: 3 * time.Second, want: 3 * time.Second},
		"the clock was set backwards":           {result: apart, changed: -time.Hour, want: 250 * time.Millisecond},
		"a certificate is not served":           {result: outdated, changed: time.Hour, want: 5 * time.Second},
		"the CA changes":                        {result: changing, changed: time.Hour, want: 5 * time.Second},
		"the CA has not been taken for long":    {result: refusing, changed: 2 * time.Minute, want: 15 * time.Second},
		"a file does not have the cookie yet":   {result: waiting, changed: time.Hour, want: 200 * time.Millisecond},
		"and nothing is to be changed":          {result: waiting, idle: true, changed: time.Hour, want: 4800 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			result := resultOf(tc.result...)
			if tc.failed {
				result.Failed = []mesh.Edge{{From: result.Outcomes[0].Node, To: result.Outcomes[1].Node}}
			}
			result.Lost, result.ReadOnly = tc.lost, tc.idle
			s := schedule{intervals: Intervals{}.withDefaults(), changed: noon.Add(-tc.changed), verifying: tc.took, sweeping: tc.swept}
			mesh := report(nil, wanted(1), result, noon)
			if got := s.next(result, mesh, mesh, noon); got != tc.want {
				t.Errorf("the next sweep is in %s, want %s", got, tc.want)
			}
		})
	}
}
