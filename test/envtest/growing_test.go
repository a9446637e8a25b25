package envtest

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/erlang-operator/erlang-operator/test/await"
)

// growing is a manager whose metrics and heap are read, and what was measured of it.
type growing struct {
	*manager
	address, pprof, token, directory string
	roots                            *x509.CertPool
	environment, flags               []string

	steps   []step
	members []point // ms of a pass by members
}

func newGrowing(t *testing.T) *growing {
	t.Helper()
	check(t, applyFile(t.Context(), "config/metrics/authorization.yaml"))
	namespace := newNamespace(t)
	g := &growing{token: tokenOf(t, namespace, "prometheus"), environment: []string{deployed}}
	create(t, &rbacv1.ClusterRoleBinding{
		ObjectMeta: named("", "prometheus-of-"+namespace),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "erlang-operator-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "prometheus"}},
	})
	g.directory, g.roots = metricsCertificate(t)
	g.launch(t)
	return g
}

func (g *growing) launch(t *testing.T) {
	t.Helper()
	g.address, g.pprof = freeAddress(t), freeAddress(t)
	g.manager = launchManager(t, managerKubeconfig(t), g.environment, append(g.flags, "--probe-image=example.com/erlang-operator:test",
		"--metrics-bind-address="+g.address, "--metrics-cert-dir="+g.directory, "--pprof-bind-address="+g.pprof)...)
}

// restart starts the manager anew, and waits until it has looked at all clusters. That is over
// when it has come to rest: to ask for its metrics again and again would take much of its time.
func (g *growing) restart(t *testing.T, clusters int) step {
	t.Helper()
	g.stop(t)
	log, began := requestsOf(t, managerAccount), time.Now()
	g.launch(t)
	took, used := g.awaitRest(t, began)
	await.Until(t, time.Minute, "all clusters were looked at", func(ctx context.Context) error {
		passes, waiting, err := g.work(ctx)
		if err == nil && (passes < clusters || waiting > 0) {
			err = fmt.Errorf("%d passes, and %d clusters are waiting", passes, waiting)
		}
		return err
	})
	settle(t)
	requests := must(log.next())(t)
	return step{clusters: clusters, start: took, startCPU: used, requests: len(requests), writes: writesOf(requests)}
}

// awaitRest is how long the manager was busy after it began, and what CPU it had used by then.
func (g *growing) awaitRest(t *testing.T, began time.Time) (took, used time.Duration) {
	t.Helper()
	const interval, idle = 200 * time.Millisecond, 15 // A quarter of a core is for heartbeats.
	for quiet, last := 0, time.Duration(0); quiet < idle || used == 0; {
		time.Sleep(interval)
		now := g.cpu(t)
		quiet++
		if now-last > interval/4 {
			took, used, quiet = time.Since(began), now, 0
		}
		last = now
	}
	return took, used
}

var (
	passesTotal = regexp.MustCompile(`(?m)^controller_runtime_reconcile_total\{controller="erlangcluster",.*\} (\S+)$`)
	queueLength = regexp.MustCompile(`(?m)^workqueue_depth\{.*controller="erlangcluster".*\} (\S+)$`)
	underWay    = regexp.MustCompile(`(?m)^controller_runtime_active_workers\{controller="erlangcluster"\} (\S+)$`)
)

// work is how many passes there were, and how many clusters are waiting for one or have it now.
func (g *growing) work(ctx context.Context) (passes, waiting int, err error) {
	status, text, err := scrape(ctx, g.roots, g.address, g.token)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("the status is %d", status)
	}
	return int(sum(passesTotal, text)), int(sum(queueLength, text) + sum(underWay, text)), err
}

func sum(series *regexp.Regexp, metrics string) (total float64) {
	for _, line := range series.FindAllStringSubmatch(metrics, -1) {
		value, _ := strconv.ParseFloat(line[1], 64) // It matches.
		total += value
	}
	return total
}

var heapAlloc = regexp.MustCompile(`(?m)^# HeapAlloc = (\d+)$`)

// live is what is on the heap right after a garbage collection.
func (g *growing) live(t *testing.T) int {
	t.Helper()
	return int(sum(heapAlloc, string(g.heap(t, 1))))
}

// heap is a heap profile, after a garbage collection: as text with debug=1.
func (g *growing) heap(t *testing.T, debug int) []byte {
	t.Helper()
	request := must(http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://%s/debug/pprof/heap?gc=1&debug=%d", g.pprof, debug), nil))(t)
	response, err := http.DefaultClient.Do(request)
	check(t, err)
	defer response.Body.Close()
	return must(io.ReadAll(response.Body))(t)
}

var (
	waited     = regexp.MustCompile(`(?m)^apiserver_flowcontrol_request_wait_duration_seconds_sum\{.*flow_schema="service-accounts".*\} (\S+)$`)
	dispatched = regexp.MustCompile(`(?m)^apiserver_flowcontrol_dispatched_requests_total\{flow_schema="service-accounts".*\} (\S+)$`)
	rejected   = regexp.MustCompile(`(?m)^apiserver_flowcontrol_rejected_requests_total\{flow_schema="service-accounts".*\} (\S+)$`)
)

// waits tells how long requests of ServiceAccounts, of which the manager is the only one here,
// have waited for a seat in the API server.
func (g *growing) waits(t *testing.T) string {
	t.Helper()
	c := must(kubernetes.NewForConfig(environment.Config))(t)
	text := string(must(c.RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context()))(t))
	return fmt.Sprintf("%.0f requests, %.0f rejected, %.3f s in queues in all", sum(dispatched, text), sum(rejected, text), sum(waited, text))
}

// eachAtOnce calls do with each number below count, some at a time.
func eachAtOnce(t *testing.T, atOnce, count int, do func(i int) error) {
	t.Helper()
	var working sync.WaitGroup
	failed := make(chan error, atOnce)
	for from := range atOnce {
		working.Go(func() {
			for i := from; i < count; i += atOnce {
				if err := do(i); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	working.Wait()
	close(failed)
	check(t, <-failed)
}
