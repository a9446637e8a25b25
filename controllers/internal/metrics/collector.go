// Package metrics exports the status of the ErlangClusters. Nothing is kept: each scrape
// reads the clusters, so a deleted one leaves no series behind.
package metrics

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
)

// listTimeout is how long a scrape waits for the cache.
const listTimeout = 5 * time.Second

// Collector exports the metrics of all ErlangClusters that a reader returns.
type Collector struct {
	Reader client.Reader
	// Heartbeat is when the probe of a cluster was last heard of; false if it was not.
	Heartbeat func(cluster types.NamespacedName) (time.Time, bool)
}

// conditions are those that are exported, also while they are absent. The reason is no
// label: an alert would start again with each change of it.
var conditions = []string{
	v1alpha1.ConditionReady, v1alpha1.ConditionCredentialsReady, v1alpha1.ConditionNodesReady,
	v1alpha1.ConditionMeshConnected, v1alpha1.ConditionMutualTLSEnforced,
	v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled, v1alpha1.ConditionSuspended,
	v1alpha1.ConditionSharedIssuer, v1alpha1.ConditionClusterDomainMismatch, v1alpha1.ConditionCertificateExpiring, v1alpha1.ConditionCertificateShortLived,
	v1alpha1.ConditionIssuerUnavailable, v1alpha1.ConditionFieldConflict, v1alpha1.ConditionRuntimeMismatch,
}

var rotations = []v1alpha1.RotatingCredential{v1alpha1.RotatingCA, v1alpha1.RotatingCookie}

var (
	condition = describe("cluster_condition",
		"Whether a condition of the ErlangCluster is True: 1, or else 0.", "type")
	nodesExpected = describe("cluster_nodes_expected",
		"Nodes that the spec asks for.")
	nodesVerified = describe("cluster_nodes_verified",
		"Expected nodes that the probe verified from DNS to a remote call.")
	linksExpected = describe("cluster_links_expected",
		"Links of a full mesh of the expected nodes.")
	linksEstablished = describe("cluster_links_established",
		"Links that both ends report.")
	heartbeat = describe("cluster_probe_heartbeat_timestamp_seconds",
		"When the manager last saw the probe confirm its report, in seconds since 1970.")
	rotating = describe("cluster_rotation_in_progress",
		"Whether the CA, or the cookie, of the nodes is being replaced: 1, or else 0.", "credential")
	caExpiration = describe("cluster_ca_expiration_timestamp_seconds",
		"When a CA that the nodes trust expires, in seconds since 1970.", "ca")
	nodeVerified = describe("node_verified",
		"Whether the probe verified the node from DNS to a remote call: 1, or else 0.", "pod")
	nodeExpiration = describe("node_certificate_expiration_timestamp_seconds",
		"When the certificate that the node serves expires, in seconds since 1970.", "pod")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName("erlang_operator", "", name), help,
		append([]string{"namespace", "cluster"}, labels...), nil)
}

// Describe names the metrics.
func (c Collector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, description := range []*prometheus.Desc{
		condition, nodesExpected, nodesVerified, linksExpected, linksEstablished, heartbeat, rotating, caExpiration,
		nodeVerified, nodeExpiration,
	} {
		descriptions <- description
	}
}

// Collect reads the clusters. If that fails, the scrape does not: the metrics of the
// manager itself are needed then.
func (c Collector) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), listTimeout)
	defer cancel()
	clusters := v1alpha1.NewUnstructuredList()
	if err := c.Reader.List(ctx, clusters); err != nil {
		if notStarted := (*cache.ErrCacheNotStarted)(nil); !errors.As(err, &notStarted) {
			log.Log.WithName("metrics").Error(err, "Failed to list ErlangClusters")
		}
		return
	}
	for i := range clusters.Items {
		cluster, err := v1alpha1.Decode(&clusters.Items[i])
		s := series{cluster: cluster, metrics: metrics}
		s.status()
		if at, known := c.Heartbeat(client.ObjectKeyFromObject(cluster)); known {
			s.gauge(heartbeat, float64(at.Unix()))
		}
		if err == nil { // without its spec, what is expected is unknown
			s.mesh()
		}
	}
}

// series are those of one cluster.
type series struct {
	cluster *v1alpha1.ErlangCluster
	metrics chan<- prometheus.Metric
}

func (s series) gauge(description *prometheus.Desc, value float64, labels ...string) {
	s.metrics <- prometheus.MustNewConstMetric(description, prometheus.GaugeValue, value,
		append([]string{s.cluster.Namespace, s.cluster.Name}, labels...)...)
}

// status is what the manager reported.
func (s series) status() {
	status := s.cluster.Status
	for _, kind := range conditions {
		s.gauge(condition, flag(meta.IsStatusConditionTrue(status.Conditions, kind)), kind)
	}
	for _, credential := range rotations {
		s.gauge(rotating, flag(slices.ContainsFunc(status.Rotation, func(r v1alpha1.RotationStatus) bool { return r.Credential == credential })), string(credential))
	}
	for _, authority := range status.Authorities {
		s.gauge(caExpiration, seconds(authority.NotAfter), authority.Identity)
	}
}

// mesh is what the probe reported of the expected nodes.
func (s series) mesh() {
	replicas := s.cluster.Spec.DesiredReplicas()
	verified, links, expected := 0, int32(0), replicas*(replicas-1)/2
	if mesh := s.cluster.Status.Mesh; mesh != nil {
		pods := naming.Of(s.cluster, naming.DefaultDomain).Pods(replicas)
		for _, node := range mesh.Nodes {
			if !slices.Contains(pods, node.Pod) {
				continue
			}
			if node.Verified() {
				verified++
			}
			s.gauge(nodeVerified, flag(node.Verified()), node.Pod)
			if node.CertificateNotAfter != nil {
				s.gauge(nodeExpiration, seconds(*node.CertificateNotAfter), node.Pod)
			}
		}
		links = min(mesh.Links, expected)
	}
	s.gauge(nodesExpected, float64(replicas))
	s.gauge(nodesVerified, float64(verified))
	s.gauge(linksExpected, float64(expected))
	s.gauge(linksEstablished, float64(links))
}

func flag(value bool) float64 {
	if value {
		return 1
	}
	return 0
}

func seconds(at metav1.Time) float64 { return float64(at.Unix()) }
