package metrics_test

import (
	"context"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/metrics"
)

// chat has two nodes, and one more that is leaving. One fails, and the CA rotates.
func chat() *v1alpha1.ErlangCluster {
	at := func(seconds int64) metav1.Time { return metav1.NewTime(time.Unix(seconds, 0)) }
	return &v1alpha1.ErlangCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "chat"},
		Spec:       v1alpha1.ErlangClusterSpec{Replicas: ptr.To[int32](2)},
		Status: v1alpha1.ErlangClusterStatus{
			Conditions: []metav1.Condition{
				{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse},
				{Type: v1alpha1.ConditionNodesReady, Status: metav1.ConditionTrue},
				{Type: v1alpha1.ConditionMutualTLSEnforced, Status: metav1.ConditionUnknown},
				{Type: v1alpha1.ConditionReconciling, Status: metav1.ConditionTrue},
			},
			Rotation: []v1alpha1.RotationStatus{{Credential: v1alpha1.RotatingCA, Phase: v1alpha1.RotationReissuing}},
			Authorities: []v1alpha1.AuthorityStatus{
				{Identity: "00000000000000aa", NotAfter: at(5000)}, {Identity: "00000000000000bb", NotAfter: at(6000)}},
			Mesh: &v1alpha1.MeshStatus{
				Links: 3,
				Nodes: []v1alpha1.NodeStatus{
					{Pod: "chat-0", Reason: v1alpha1.ReasonVerified, CertificateNotAfter: ptr.To(at(2000))},
					{Pod: "chat-1", Reason: v1alpha1.ReasonConnectionRefused},
					{Pod: "chat-2", Reason: v1alpha1.ReasonVerified, CertificateNotAfter: ptr.To(at(1001))},
				},
			},
		},
	}
}

func reader(t *testing.T, clusters ...client.Object) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(clusters...).Build()
}

// heard is when the probe of shop/chat was heard of.
func heard(cluster types.NamespacedName) (time.Time, bool) {
	return time.Unix(1000, 0), cluster.Name == "chat"
}

func TestSeries(t *testing.T) {
	fresh := &v1alpha1.ErlangCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "fresh"}}
	want := `
# HELP erlang_operator_cluster_links_established Links that both ends report.
# TYPE erlang_operator_cluster_links_established gauge
erlang_operator_cluster_links_established{cluster="chat",namespace="shop"} 1
erlang_operator_cluster_links_established{cluster="fresh",namespace="shop"} 0
# HELP erlang_operator_cluster_links_expected Links of a full mesh of the expected nodes.
# TYPE erlang_operator_cluster_links_expected gauge
erlang_operator_cluster_links_expected{cluster="chat",namespace="shop"} 1
erlang_operator_cluster_links_expected{cluster="fresh",namespace="shop"} 0
# HELP erlang_operator_cluster_nodes_expected Nodes that the spec asks for.
# TYPE erlang_operator_cluster_nodes_expected gauge
erlang_operator_cluster_nodes_expected{cluster="chat",namespace="shop"} 2
erlang_operator_cluster_nodes_expected{cluster="fresh",namespace="shop"} 1
# HELP erlang_operator_cluster_nodes_verified Expected nodes that the probe verified from DNS to a remote call.
# TYPE erlang_operator_cluster_nodes_verified gauge
erlang_operator_cluster_nodes_verified{cluster="chat",namespace="shop"} 1
erlang_operator_cluster_nodes_verified{cluster="fresh",namespace="shop"} 0
# HELP erlang_operator_cluster_probe_heartbeat_timestamp_seconds When the manager last saw the probe confirm its report, in seconds since 1970.
# TYPE erlang_operator_cluster_probe_heartbeat_timestamp_seconds gauge
erlang_operator_cluster_probe_heartbeat_timestamp_seconds{cluster="chat",namespace="shop"} 1000
# HELP erlang_operator_cluster_ca_expiration_timestamp_seconds When a CA that the nodes trust expires, in seconds since 1970.
# TYPE erlang_operator_cluster_ca_expiration_timestamp_seconds gauge
erlang_operator_cluster_ca_expiration_timestamp_seconds{ca="00000000000000aa",cluster="chat",namespace="shop"} 5000
erlang_operator_cluster_ca_expiration_timestamp_seconds{ca="00000000000000bb",cluster="chat",namespace="shop"} 6000
# HELP erlang_operator_cluster_rotation_in_progress Whether the CA, or the cookie, of the nodes is being replaced: 1, or else 0.
# TYPE erlang_operator_cluster_rotation_in_progress gauge
erlang_operator_cluster_rotation_in_progress{cluster="chat",credential="CA",namespace="shop"} 1
erlang_operator_cluster_rotation_in_progress{cluster="chat",credential="Cookie",namespace="shop"} 0
erlang_operator_cluster_rotation_in_progress{cluster="fresh",credential="CA",namespace="shop"} 0
erlang_operator_cluster_rotation_in_progress{cluster="fresh",credential="Cookie",namespace="shop"} 0
# HELP erlang_operator_node_verified Whether the probe verified the node from DNS to a remote call: 1, or else 0.
# TYPE erlang_operator_node_verified gauge
erlang_operator_node_verified{cluster="chat",namespace="shop",pod="chat-0"} 1
erlang_operator_node_verified{cluster="chat",namespace="shop",pod="chat-1"} 0
# HELP erlang_operator_node_certificate_expiration_timestamp_seconds When the certificate that the node serves expires, in seconds since 1970.
# TYPE erlang_operator_node_certificate_expiration_timestamp_seconds gauge
erlang_operator_node_certificate_expiration_timestamp_seconds{cluster="chat",namespace="shop",pod="chat-0"} 2000
`
	var names []string
	for line := range strings.Lines(want) {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			names = append(names, strings.Fields(name)[0])
		}
	}
	collector := metrics.Collector{Heartbeat: heard, Reader: reader(t, chat(), fresh)}
	if err := testutil.CollectAndCompare(collector, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
	problems, err := testutil.CollectAndLint(collector)
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
}

// Conditions that are there only while true are 0 while they are not.
func TestConditions(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(metrics.Collector{Heartbeat: heard, Reader: reader(t, chat())})
	got := map[string]float64{}
	for _, metric := range gathered(t, registry)["erlang_operator_cluster_condition"] {
		got[metric.labels["type"]] = metric.value
	}
	want := map[string]float64{
		v1alpha1.ConditionReady: 0, v1alpha1.ConditionCredentialsReady: 0, v1alpha1.ConditionNodesReady: 1,
		v1alpha1.ConditionMeshConnected: 0, v1alpha1.ConditionMutualTLSEnforced: 0, v1alpha1.ConditionReconciling: 1,
		v1alpha1.ConditionStalled: 0, v1alpha1.ConditionSuspended: 0, v1alpha1.ConditionSharedIssuer: 0, v1alpha1.ConditionClusterDomainMismatch: 0, v1alpha1.ConditionCertificateExpiring: 0, v1alpha1.ConditionCertificateShortLived: 0, v1alpha1.ConditionIssuerUnavailable: 0,
		v1alpha1.ConditionFieldConflict: 0, v1alpha1.ConditionRuntimeMismatch: 0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A cluster that is gone leaves no series behind.
func TestNothingIsKept(t *testing.T) {
	there := reader(t, chat())
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(metrics.Collector{Heartbeat: heard, Reader: there})
	if len(gathered(t, registry)) == 0 {
		t.Fatal("no series of a cluster that is there")
	}
	if err := there.Delete(t.Context(), chat()); err != nil {
		t.Fatal(err)
	}
	if left := gathered(t, registry); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A cache that cannot be read costs the manager's own metrics nothing.
func TestFailureIsSilent(t *testing.T) {
	broken := interceptor.NewClient(reader(t), interceptor.Funcs{
		List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
			return errors.New("broken")
		},
	})
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(metrics.Collector{Heartbeat: heard, Reader: broken})
	if got := gathered(t, registry); len(got) > 0 {
		t.Errorf("%v", got)
	}
}

// docs/metrics.md describes each metric, with its labels, and of no other; the rules use
// no other either.
func TestMetricsAreDocumented(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(metrics.Collector{Heartbeat: heard, Reader: reader(t, chat())})
	code := map[string]string{}
	for name, series := range gathered(t, registry) {
		labels := []string{}
		for label := range series[0].labels {
			if label != "namespace" && label != "cluster" {
				labels = append(labels, label)
			}
		}
		code[name] = strings.Join(labels, ", ")
	}
	documented := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(erlang_operator_[a-z_]+)` \\| (?:`([a-z]+)`)? *\\|").FindAllStringSubmatch(read(t, "../../../docs/metrics.md"), -1) {
		documented[row[1]] = row[2]
	}
	if diff := cmp.Diff(code, documented); diff != "" {
		t.Errorf("docs/metrics.md (-code +docs):\n%s", diff)
	}
	rules := regexp.MustCompile(`erlang_operator_[a-z_]+`).FindAllString(read(t, "../../../config/prometheus/rules.yaml"), -1)
	for _, name := range slices.Compact(slices.Sorted(slices.Values(rules))) {
		if _, ok := code[name]; !ok {
			t.Errorf("config/prometheus/rules.yaml asks for %s, which is not there", name)
		}
	}
	if len(rules) == 0 {
		t.Error("config/prometheus/rules.yaml asks for nothing")
	}
}

// Every alert has a section, to which its runbook_url leads.
func TestAlertsHaveRunbooks(t *testing.T) {
	const guide = "https://github.com/erlang-operator/erlang-operator/blob/main/docs/metrics.md#"
	documented := read(t, "../../../docs/metrics.md")
	rules := strings.Split(read(t, "../../../config/prometheus/rules.yaml"), "- alert: ")[1:]
	if len(rules) == 0 {
		t.Error("config/prometheus/rules.yaml has no alerts")
	}
	for _, rule := range rules {
		alert, _, _ := strings.Cut(rule, "\n")
		if !strings.Contains(rule, "runbook_url: "+guide+strings.ToLower(alert)+"\n") || !strings.Contains(documented, "\n### "+alert+"\n") {
			t.Errorf("%s has no runbook_url, or no section in docs/metrics.md", alert)
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A sample is one line of a scrape.
type sample struct {
	labels map[string]string
	value  float64
}

func gathered(t *testing.T, registry *prometheus.Registry) map[string][]sample {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]sample{}
	for _, family := range families {
		for _, metric := range family.Metric {
			labels := map[string]string{}
			for _, label := range metric.Label {
				labels[label.GetName()] = label.GetValue()
			}
			all[family.GetName()] = append(all[family.GetName()], sample{labels: labels, value: metric.GetGauge().GetValue()})
		}
	}
	return all
}
