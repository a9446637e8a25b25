package envtest

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var (
	growth  = flag.Int("growth", 0, "measure the manager with up to so many clusters of three nodes")
	chart   = flag.String("chart", "", "file for the chart of what TestBenchmarkGrowth measures")
	profile = flag.String("profile", "", "file for the heap profile of the manager with the most clusters")
)

// The budgets of the memory of the manager's own, which is without the pages of its program.
const (
	budgetMemory100  = 60 << 20
	budgetMemory1000 = 100 << 20
	budgetForeign    = 5 << 20 // for foreignObjects of each kind
	foreignObjects   = 10_000
	creatingAtOnce   = 25
)

// deployed is the limit of Go's memory that the manager sets itself in the container of
// config/manager: three quarters of 256 MiB.
const deployed = "GOMEMLIMIT=192MiB"

// Objects that are not the operator's add hardly anything to the manager's memory, also while
// it watches all Secrets, since a cluster refers to one.
func TestBenchmarkForeign(t *testing.T) {
	if *growth == 0 {
		t.Skip("it takes minutes: make bench-growth")
	}
	g := newGrowing(t)
	cluster := object(t, newNamespace(t), minimal)
	create(t, cluster)
	settle(t)
	g.restart(t, 1)
	labelled := g.memory(t).own
	check(t, admin.Patch(t.Context(), clusterIn(cluster.GetNamespace()), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"cookie":{"secretKeyRef":{"name":"missing"}}}}`))))
	settle(t)
	g.restart(t, 1)
	all := g.memory(t).own
	namespace := newNamespace(t)
	eachAtOnce(t, creatingAtOnce, foreignObjects, func(i int) error { return createForeign(t.Context(), namespace, i) })
	g.restart(t, 1)
	all = g.memory(t).own - all
	check(t, admin.Patch(t.Context(), clusterIn(cluster.GetNamespace()), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"cookie":{"secretKeyRef":null}}}`))))
	settle(t)
	g.restart(t, 1)
	labelled = g.memory(t).own - labelled
	t.Logf("%d foreign Secrets, ConfigMaps and pods each: %.1f MiB, at most %d MiB: %s; with a cookie.secretKeyRef %.1f MiB",
		foreignObjects, mebibytes(labelled), budgetForeign>>20, verdictOf(labelled <= budgetForeign), mebibytes(all))
	for _, foreign := range []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}, &corev1.Pod{}} {
		check(t, admin.DeleteAllOf(t.Context(), foreign, client.InNamespace(namespace), client.GracePeriodSeconds(0)))
	}
}

func createForeign(ctx context.Context, namespace string, i int) error {
	metadata := named(namespace, fmt.Sprintf("foreign-%d", i))
	metadata.Labels = map[string]string{"app.kubernetes.io/name": "foreign", "app.kubernetes.io/instance": metadata.Name}
	yes, no := true, false
	restricted := &corev1.SecurityContext{RunAsNonRoot: &yes, AllowPrivilegeEscalation: &no, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}}
	content := strings.Repeat("x", 1000)
	for _, foreign := range []client.Object{
		&corev1.Secret{ObjectMeta: *metadata.DeepCopy(), StringData: map[string]string{"content": content}},
		&corev1.ConfigMap{ObjectMeta: *metadata.DeepCopy(), Data: map[string]string{"content": content}},
		&corev1.Pod{ObjectMeta: *metadata.DeepCopy(), Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "example.com/foreign", SecurityContext: restricted}}}},
	} {
		if err := admin.Create(ctx, foreign); err != nil {
			return err
		}
	}
	return nil
}

// What the manager costs with more and more clusters, and with larger ones: memory, the CPU of a
// pass and of a minute at rest, and a start. The clusters are Ready. cert-manager would take a
// quarter of an hour to issue 5,000 certificates, so a signer of the test makes the same objects.
func TestBenchmarkGrowth(t *testing.T) {
	if *growth == 0 {
		t.Skip("it takes minutes: make bench-growth")
	}
	g, clusters := newGrowing(t), &raised{}
	check(t, stopCertManager())
	go clusters.beat(t.Context())
	for _, count := range []int{1, 10, 100, 300, 1000} {
		if count > *growth {
			break
		}
		began := time.Now()
		clusters.to(t, count)
		settle(t)
		grown := g.memory(t).own
		step := g.measure(t, count)
		step.pass = g.measurePass(t, step, clusters.all())
		g.steps = append(g.steps, step)
		t.Logf("%s; %.0f MiB while they were created in %s", step, mebibytes(grown), time.Since(began).Round(time.Second))
	}
	most := g.steps[len(g.steps)-1]
	if *profile != "" {
		check(t, os.WriteFile(*profile, g.heap(t, 0), 0o600))
	}
	for _, members := range []int{3, 10, 30, 100} {
		cluster := newCluster(t, int64(members))
		check(t, clusters.raise(t.Context(), cluster))
		settle(t)
		pass := g.measurePass(t, most, []types.NamespacedName{client.ObjectKeyFromObject(cluster)})
		g.members = append(g.members, point{members, milliseconds(pass)})
		t.Logf("%d nodes in a cluster: a pass %.2f ms", members, milliseconds(pass))
	}
	if *chart != "" {
		check(t, os.WriteFile(filepath.Clean(*chart), g.chart(), 0o644))
	}
	t.Logf("goals:\n%s", g.verdicts())
	g.compareSettings(t, most.clusters)
}

// compareSettings starts the manager with other settings, in turn, and with all clusters.
func (g *growing) compareSettings(t *testing.T, clusters int) {
	t.Helper()
	for range 2 {
		for _, settings := range []struct{ name, environment, flag string }{
			{"4 workers", deployed, "--workers=4"},
			{"1 worker", deployed, "--workers=1"},
			{"16 workers", deployed, "--workers=16"},
			{"no limit of memory", "GOMEMLIMIT=off", "--workers=4"},
		} {
			g.environment, g.flags = []string{settings.environment}, []string{settings.flag}
			s := g.restart(t, clusters)
			t.Logf("%s: a start %s, %s of CPU; then %s", settings.name, s.start.Round(10*time.Millisecond), s.startCPU, g.memory(t))
		}
	}
	t.Logf("the manager's requests in priority and fairness: %s", g.waits(t))
}

// A step is what was measured with so many clusters.
type step struct {
	clusters   int
	held, live int // bytes
	start      time.Duration
	startCPU   time.Duration
	atRest     time.Duration // CPU of a minute
	pass       time.Duration // CPU
	requests   int           // of a start, without watches
	writes     []request     // among these
}

func (s step) String() string {
	return fmt.Sprintf("%d clusters: %.0f MiB, of which %.1f MiB are live; a start %s, %s of CPU, %d requests, %d writes; at rest %s of CPU a minute; a pass %.2f ms",
		s.clusters, mebibytes(s.held), mebibytes(s.live), s.start.Round(10*time.Millisecond), s.startCPU, s.requests, len(s.writes), s.atRest, milliseconds(s.pass))
}

// restInterval is long enough for ten heartbeats, or four of all clusters.
const restInterval = 20 * time.Second

// measure starts the manager anew, and then leaves it at rest, but for heartbeats.
func (g *growing) measure(t *testing.T, clusters int) step {
	t.Helper()
	s := g.restart(t, clusters)
	before := g.cpu(t)
	time.Sleep(restInterval) // This is what is measured: some time at rest.
	s.atRest, s.held = (g.cpu(t)-before)*(time.Minute/restInterval), g.memory(t).own
	s.live = g.live(t)
	return s
}

// measurePass is the CPU of a pass over a cluster in which nothing is to be done, with what comes
// before it: the probe has reported a change of no consequence.
func (g *growing) measurePass(t *testing.T, now step, clusters []types.NamespacedName) time.Duration {
	t.Helper()
	const changes = 100
	before, _, err := g.work(t.Context())
	check(t, err)
	used, began := g.cpu(t), time.Now()
	for i := range changes {
		at := clusters[i%len(clusters)]
		mesh := get(t, clusterAt(at)).Status.Mesh
		mesh.Nodes[0].OTPRelease = map[bool]string{true: "27", false: "28"}[mesh.Nodes[0].OTPRelease == "28"]
		check(t, (&probe{namespace: at.Namespace, cluster: at.Name, client: admin}).apply(t.Context(), mesh))
		time.Sleep(10 * time.Millisecond) // Otherwise several changes of a cluster could be one pass.
	}
	time.Sleep(time.Second) // The last pass is over; asking for the metrics would take CPU.
	used = g.cpu(t) - used - time.Duration(float64(now.atRest)*time.Since(began).Minutes())
	after, _, err := g.work(t.Context())
	check(t, err)
	if after-before < changes/2 {
		t.Fatalf("%d passes for %d changes", after-before, changes)
	}
	return used / time.Duration(after-before)
}

// verdicts are the goals, each with what was measured.
func (g *growing) verdicts() string {
	var lines []string
	line := func(what, measured, goal string, within bool) {
		lines = append(lines, fmt.Sprintf("%s: %s, goal %s: %s", what, measured, goal, verdictOf(within)))
	}
	for _, s := range g.steps {
		if goal := map[int]int{100: budgetMemory100, 1000: budgetMemory1000}[s.clusters]; goal > 0 {
			line(fmt.Sprintf("memory with %d clusters", s.clusters), fmt.Sprintf("%.0f MiB", mebibytes(s.held)), fmt.Sprintf("%d MiB", goal>>20), s.held <= goal)
		}
	}
	most := g.steps[len(g.steps)-1]
	line("a start, until all were looked at", most.start.Round(10*time.Millisecond).String(), budgetStart.String(), most.start <= budgetStart)
	line("writes of a start", fmt.Sprint(most.writes[:min(5, len(most.writes))]), "none", len(most.writes) == 0)
	return strings.Join(lines, "\n")
}

func verdictOf(within bool) string         { return map[bool]string{true: "PASS", false: "FAIL"}[within] }
func mebibytes(bytes int) float64          { return float64(bytes) / (1 << 20) }
func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }

// writesOf are the requests that change something.
func writesOf(requests []request) []request {
	return slices.DeleteFunc(requests, func(r request) bool {
		return slices.Contains([]string{"get", "list"}, r.Verb) || strings.HasSuffix(r.ObjectRef.Resource, "reviews")
	})
}
