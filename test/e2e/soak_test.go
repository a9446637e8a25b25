//go:build e2e

package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var soak = flag.Duration("soak", 0, "how long TestSoak lasts; it is skipped without")

// How much memory may grow from the second quarter of a soak to the last: within that
// a process that collects garbage wanders, and a leak grows with every minute.
const (
	memoryMayGrow = 1.10 // times, and
	memoryMayAdd  = 2 << 20
)

// TestSoak renews every certificate each minute, and rotates the cookie and the CA
// every ten, for as long as it is told, while members of mixed OTP call each other:
// the cluster is Ready all the time, nothing is lost, and nothing grows. Nothing else
// should run on that Kubernetes, since the manager is everybody's.
func TestSoak(t *testing.T) {
	if *soak == 0 {
		t.Skip("takes an hour: run `make soak`, or give -soak=10m")
	}
	const members = 3
	c := startMixed(t, "chat", members)
	pods, first := c.restarts(members), c.identity()
	c.startTraffic(members)
	ready := c.watchReady()

	var curve []sample
	end := time.Now().Add(*soak)
	t.Run("at once", func(t *testing.T) {
		t.Run("renewals", func(t *testing.T) {
			t.Parallel()
			curve = cluster{t, c.namespace, c.name}.renewEveryMinute(members, end)
		})
		t.Run("rotations", func(t *testing.T) {
			t.Parallel()
			cluster{t, c.namespace, c.name}.rotateEveryTenMinutes(members, end)
		})
	})

	c.awaitWhole(members)
	ready()
	c.checkTraffic(members)
	c.checkRestarts(members, pods)
	c.checkOnlyNowAdmits(members, first)
	checkFlat(t, curve)
}

// renewEveryMinute gives what was measured each time.
func (c cluster) renewEveryMinute(members int, end time.Time) (curve []sample) {
	c.t.Helper()
	minutes := time.NewTicker(time.Minute)
	defer minutes.Stop()
	for time.Now().Before(end) {
		before, err := c.serials()
		if err != nil {
			c.t.Error(err)
		}
		if err := c.forceRenewal(members); err != nil {
			c.t.Error(err)
		}
		<-minutes.C
		if err := c.renewed(before); err != nil {
			c.t.Errorf("a minute after its renewal: %v", err)
		}
		measured, err := c.measure(members)
		if err != nil {
			c.t.Error(err)
			continue
		}
		curve = append(curve, measured)
		c.t.Logf("minute %d: %s", len(curve), measured)
	}
	return curve
}

// rotateEveryTenMinutes rotates the cookie in the middle of each ten minutes, and the
// CA at their beginning.
func (c cluster) rotateEveryTenMinutes(members int, end time.Time) {
	c.t.Helper()
	halves := time.NewTicker(5 * time.Minute)
	defer halves.Stop()
	for round := 1; ; round++ {
		id := fmt.Sprintf("round-%d", round)
		for _, rotate := range []func(cluster, int, string){cluster.rotateCA, cluster.rotateCookie} {
			rotate(c, members, id)
			select {
			case <-halves.C:
			case <-time.After(time.Until(end)):
				return
			}
		}
	}
}

// sample is what a soak looks at.
type sample struct {
	manager, probe int // resident bytes
	members        []traffic
}

func (s sample) String() string {
	text := fmt.Sprintf("manager %.1f MiB, probe %.1f MiB", float64(s.manager)/(1<<20), float64(s.probe)/(1<<20))
	for ordinal, member := range s.members {
		text += fmt.Sprintf("; member %d: %d calls, %d lost, %d down, %d atoms", ordinal, member.calls, member.lost, member.down, member.atoms)
	}
	return text
}

func (c cluster) measure(members int) (sample, error) {
	var measured sample
	for _, of := range []struct {
		namespace, deployment string
		into                  *int
	}{
		{"erlang-operator-system", "erlang-operator-manager", &measured.manager},
		{c.namespace, c.name + "-probe", &measured.probe},
	} {
		resident, err := c.resident(of.namespace, of.deployment)
		if err != nil {
			return sample{}, err
		}
		*of.into = resident
	}
	for ordinal := range members {
		counted, err := c.traffic(ordinal)
		if err != nil {
			return sample{}, err
		}
		measured.members = append(measured.members, counted)
	}
	return measured, nil
}

// resident is the memory that the pod of a Deployment holds and could not give back,
// in bytes, as its kubelet accounts for it.
func (c cluster) resident(namespace, deployment string) (int, error) {
	nodes, err := kubectl(c.t.Context(), "", "get", "nodes", "-o", "jsonpath={.items[*].metadata.name}")
	if err != nil {
		return 0, err
	}
	for _, node := range strings.Fields(nodes) {
		text, err := kubectl(c.t.Context(), "", "get", "--raw", "/api/v1/nodes/"+node+"/proxy/stats/summary")
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
	return 0, fmt.Errorf("no kubelet tells the memory of %s/%s", namespace, deployment)
}

// checkFlat holds the last quarter of what was measured against the second, when all
// is warm: of each the median.
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
		warm, last := medians(func(s sample) int { return s.members[ordinal].atoms })
		t.Logf("atoms of member %d: %d in the second quarter, %d in the last", ordinal, warm, last)
		if last > warm+cookies {
			t.Errorf("the atoms of member %d grow in number", ordinal)
		}
	}
}

func median(values []int) int {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
