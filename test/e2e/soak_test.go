//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

var soak = flag.Duration("soak", 0, "how long TestSoak lasts; TestSoak is skipped without")

// How much memory may grow from the second quarter of a soak to the last. Garbage
// collection varies within that; a leak grows with every minute.
const (
	memoryMayGrow = 1.10 // times, and
	memoryMayAdd  = 2 << 20
)

// TestSoak renews every certificate each minute, and rotates the cookie and the CA every
// ten minutes, while members of mixed releases call each other: the cluster is Ready all
// the time, nothing is lost, and neither memory nor atoms grow. It measures the manager,
// so nothing else should run on that Kubernetes.
func TestSoak(t *testing.T) {
	if *soak == 0 {
		t.Skip("takes an hour: run `make soak`, or give -soak=10m")
	}
	const members = 3
	c := harness.StartMixed(t, "chat", members)
	pods, first := harness.Must(c.Restarts(t.Context(), members))(t), harness.Must(c.Credentials(t.Context()))(t)
	c.StartTraffic(t, members)
	checkReady := c.WatchReady(t)

	var curve []sample
	end := time.Now().Add(*soak)
	t.Run("concurrently", func(t *testing.T) {
		t.Run("renewals", func(t *testing.T) {
			t.Parallel()
			curve = renewEveryMinute(t, c, members, end)
		})
		t.Run("rotations", func(t *testing.T) {
			t.Parallel()
			rotateEveryTenMinutes(t, c, members, end)
		})
	})

	c.AwaitReady(t, members)
	checkReady()
	c.CheckTraffic(t, members)
	c.CheckRestarts(t, members, pods)
	c.CheckFormerCredentials(t, members, first)
	checkFlat(t, curve)
}

// renewEveryMinute returns what was measured each time.
func renewEveryMinute(t *testing.T, c harness.Cluster, members int, end time.Time) (curve []sample) {
	t.Helper()
	minutes := time.NewTicker(time.Minute)
	defer minutes.Stop()
	for time.Now().Before(end) {
		before, err := c.Serials(t.Context())
		if err != nil {
			t.Error(err)
		}
		if err := c.ForceRenewal(t.Context(), members); err != nil {
			t.Error(err)
		}
		<-minutes.C
		if err := c.Renewed(t.Context(), before); err != nil {
			t.Errorf("a minute after its renewal: %v", err)
		}
		measured, err := measure(t.Context(), c, members)
		if err != nil {
			t.Error(err)
			continue
		}
		curve = append(curve, measured)
		t.Logf("minute %d: %s", len(curve), measured)
	}
	return curve
}

// rotateEveryTenMinutes rotates the cookie in the middle of each ten minutes, and the
// CA at their beginning.
func rotateEveryTenMinutes(t *testing.T, c harness.Cluster, members int, end time.Time) {
	t.Helper()
	halves := time.NewTicker(5 * time.Minute)
	defer halves.Stop()
	for round := 1; ; round++ {
		id := fmt.Sprintf("round-%d", round)
		for _, rotate := range []func(testing.TB, int, string){c.RotateCA, c.RotateCookie} {
			rotate(t, members, id)
			select {
			case <-halves.C:
			case <-time.After(time.Until(end)):
				return
			}
		}
	}
}

// sample is what a soak measures.
type sample struct {
	manager, probe int // resident bytes
	members        []harness.Traffic
}

func (s sample) String() string {
	text := fmt.Sprintf("manager %.1f MiB, probe %.1f MiB", float64(s.manager)/(1<<20), float64(s.probe)/(1<<20))
	for ordinal, member := range s.members {
		text += fmt.Sprintf("; member %d: %d calls, %d lost, %d down, %d atoms", ordinal, member.Calls, member.Lost, member.Down, member.Atoms)
	}
	return text
}

func measure(ctx context.Context, c harness.Cluster, members int) (sample, error) {
	var measured sample
	for _, of := range []struct {
		namespace, deployment string
		into                  *int
	}{
		{"erlang-operator-system", "erlang-operator-manager", &measured.manager},
		{c.Namespace, c.Name + "-probe", &measured.probe},
	} {
		resident, err := residentMemory(ctx, of.namespace, of.deployment)
		if err != nil {
			return sample{}, err
		}
		*of.into = resident
	}
	for ordinal := range members {
		counted, err := c.Traffic(ctx, ordinal)
		if err != nil {
			return sample{}, err
		}
		measured.members = append(measured.members, counted)
	}
	return measured, nil
}

// residentMemory is the resident memory of the pod of a Deployment, in bytes, as its
// kubelet accounts for it.
func residentMemory(ctx context.Context, namespace, deployment string) (int, error) {
	nodes, err := kubectl.Run(ctx, "get", "nodes", "-o", "jsonpath={.items[*].metadata.name}")
	if err != nil {
		return 0, err
	}
	for _, node := range strings.Fields(nodes) {
		text, err := kubectl.Run(ctx, "get", "--raw", "/api/v1/nodes/"+node+"/proxy/stats/summary")
		if err != nil {
			return 0, err
		}
		var summary struct {
			Pods []struct {
				PodRef     struct{ Namespace, Name string }
				Containers []struct {
					Memory struct{ RSSBytes int }
				}
			}
		}
		if err := json.Unmarshal([]byte(text), &summary); err != nil {
			return 0, err
		}
		for _, pod := range summary.Pods {
			if pod.PodRef.Namespace != namespace || !strings.HasPrefix(pod.PodRef.Name, deployment+"-") {
				continue
			}
			if len(pod.Containers) == 1 && pod.Containers[0].Memory.RSSBytes > 0 {
				return pod.Containers[0].Memory.RSSBytes, nil
			}
		}
	}
	return 0, fmt.Errorf("no kubelet reports the memory of %s/%s", namespace, deployment)
}

// checkFlat compares the medians of the last quarter of the samples with those of the
// second quarter, when everything is warmed up.
func checkFlat(t *testing.T, curve []sample) {
	t.Helper()
	if len(curve) < 4 {
		t.Fatalf("there are %d samples only", len(curve))
	}
	quarter := len(curve) / 4
	medians := func(of func(sample) int) (warm, last int) {
		var values []int
		for _, s := range curve {
			values = append(values, of(s))
		}
		return median(values[quarter : 2*quarter]), median(values[len(values)-quarter:])
	}
	for name, of := range map[string]func(sample) int{
		"manager": func(s sample) int { return s.manager },
		"probe":   func(s sample) int { return s.probe },
	} {
		warm, last := medians(of)
		t.Logf("memory of the %s: %d bytes in the second quarter, %d in the last", name, warm, last)
		if float64(last) > memoryMayGrow*float64(warm)+memoryMayAdd {
			t.Errorf("memory of the %s grows", name)
		}
	}
	cookies := len(curve)/10 + 1 // A cookie is an atom, and an atom stays.
	for ordinal := range curve[0].members {
		warm, last := medians(func(s sample) int { return s.members[ordinal].Atoms })
		t.Logf("atoms of member %d: %d in the second quarter, %d in the last", ordinal, warm, last)
		if last > warm+cookies {
			t.Errorf("the atoms of member %d grow in number", ordinal)
		}
	}
}

func median[T cmp.Ordered](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
