//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// A HorizontalPodAutoscaler scales a cluster by its scale subresource, up and down. What it
// follows is an external metric, which the test serves as an aggregated API.
func TestHorizontalPodAutoscaler(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Namespace(t), "chat", 1, "27")
	sessions := serveMetric(t)
	sessions.Store(30)
	kubectl.MustApply(t, fmt.Sprintf(`
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: chat, namespace: %s}
spec:
  scaleTargetRef: {apiVersion: erlang-operator.dev/v1alpha1, kind: ErlangCluster, name: chat}
  minReplicas: 1
  maxReplicas: 5
  behavior: {scaleDown: {stabilizationWindowSeconds: 0}}
  metrics: [{type: External, external: {metric: {name: sessions}, target: {type: AverageValue, averageValue: "10"}}}]
`, c.Namespace))
	c.AwaitReady(t, 3)
	sessions.Store(20)
	c.AwaitReady(t, 2)

	// What docs/rollouts.md has for a manifest that named the replicas.
	without := strings.Replace(harness.Manifest(c.Namespace, c.Name, 1, "27"), "  replicas: 1\n", "", 1)
	harness.Must(kubectl.RunWith(t.Context(), without, "apply", "set-last-applied", "-f", "-"))(t)
	kubectl.MustApply(t, without)
	if got := kubectl.Must(t, "get", "erlangcluster", c.Name, "-n", c.Namespace, "-o", "jsonpath={.spec.replicas}"); got != "2" {
		t.Errorf("replicas is %s after it was left out, want 2", got)
	}
}

// serveMetric serves the external metrics API with one value for every metric, which is
// returned. A namespace cannot be deleted while an API is registered that nobody serves, so the
// registration is removed first.
func serveMetric(t *testing.T) *atomic.Int64 {
	t.Helper()
	const group, version = "external.metrics.k8s.io", "v1beta1"
	value := new(atomic.Int64)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group + "/" + version, "resources": []any{}}
		if _, metric, found := strings.Cut(r.URL.Path, "/namespaces/"); found {
			item := map[string]any{"metricName": metric, "timestamp": time.Now().UTC().Format(time.RFC3339), "value": fmt.Sprint(value.Load())}
			answer = map[string]any{"kind": "ExternalMetricValueList", "apiVersion": group + "/" + version, "metadata": map[string]any{}, "items": []any{item}}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	})
	// The API server runs on this machine, outside of the network of Services.
	server := harness.Must(url.Parse(kubectl.Must(t, "config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")))(t)
	listener := harness.Must(net.Listen("tcp", net.JoinHostPort(server.Hostname(), "0")))(t)
	serving := httptest.NewUnstartedServer(handler)
	_ = serving.Listener.Close()
	serving.Listener = listener
	serving.StartTLS()
	t.Cleanup(serving.Close)
	kubectl.Cleanup(t, "delete", "service/external-metrics-of-test", "-n", "default", "--ignore-not-found")
	kubectl.Cleanup(t, "delete", "apiservice", version+"."+group, "--ignore-not-found")
	kubectl.MustApply(t, fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: external-metrics-of-test, namespace: default}
spec: {type: ExternalName, externalName: %q}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: %s.%s}
spec:
  group: %[3]s
  version: %[2]s
  groupPriorityMinimum: 100
  versionPriority: 100
  insecureSkipTLSVerify: true
  service: {namespace: default, name: external-metrics-of-test, port: %[4]d}
`, server.Hostname(), version, group, listener.Addr().(*net.TCPAddr).Port))
	return value
}
