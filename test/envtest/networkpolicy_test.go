package envtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/mattfenwick/cyclonus/pkg/matcher"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

const (
	labelCluster   = "erlang-operator.dev/cluster"
	labelComponent = "erlang-operator.dev/component"
	epmd           = 4369
)

// A policed cluster is a cluster with what decides on connections to its nodes.
type policed struct {
	namespace, name string
	spec            v1alpha1.ErlangClusterSpec
	policy          *networkingv1.NetworkPolicy // nil: none was written
	node, probe     map[string]string           // the labels of its pods
}

// Cyclonus judges the NetworkPolicies that the manager writes and the API server stores:
// who reaches which port of a node.
func TestNetworkPolicy(t *testing.T) {
	namespace := newNamespace(t)
	startManager(t)
	clusters := createPoliced(t, namespace, policedSpecs())
	t.Run("every port", func(t *testing.T) {
		for _, c := range clusters {
			judgeEveryPort(t, c)
		}
	})
	t.Run("any connection", func(t *testing.T) { judgeAnyConnection(t, namespace, clusters) })
	t.Run("egress is untouched", func(t *testing.T) {
		if _, egress := matcher.BuildNetworkPolicies(true, policies(clusters)).SortedTargets(); len(egress) != 0 {
			t.Errorf("there are rules for egress: %+v", egress)
		}
	})
}

// policedSpecs leave out ipFamily, since this Kubernetes has IPv4 only: the policy selects pods,
// which have addresses of both.
//
// They are the edges of the port numbers, each mode, and others at random.
func policedSpecs() []v1alpha1.ErlangClusterSpec {
	between := func(low, high int32) v1alpha1.PortRange { return v1alpha1.PortRange{Min: low, Max: high} }
	specs := []v1alpha1.ErlangClusterSpec{
		{},
		{NetworkPolicy: v1alpha1.NetworkPolicySpec{Mode: v1alpha1.NetworkPolicyUnmanaged}},
		{NetworkPolicy: v1alpha1.NetworkPolicySpec{Mode: v1alpha1.NetworkPolicyDistributionOnly}},
		{Distribution: v1alpha1.DistributionSpec{Discovery: v1alpha1.DiscoveryFixedPort}},
		{Distribution: v1alpha1.DistributionSpec{Discovery: v1alpha1.DiscoveryFixedPort, Ports: between(65535, 0)}},
		{Distribution: v1alpha1.DistributionSpec{Discovery: v1alpha1.DiscoveryFixedPort, Ports: between(epmd, 9109)}},
		{Distribution: v1alpha1.DistributionSpec{Ports: between(65530, 0)}},
		{Distribution: v1alpha1.DistributionSpec{Ports: between(1024, epmd-1)}},
		{Distribution: v1alpha1.DistributionSpec{Ports: between(epmd+1, 65535)}},
		{Distribution: v1alpha1.DistributionSpec{Ports: between(65000, 65534)}},
	}
	random := rapid.Custom(randomSpec)
	for seed := range 10 {
		specs = append(specs, random.Example(seed))
	}
	return specs
}

func randomSpec(t *rapid.T) v1alpha1.ErlangClusterSpec {
	low := rapid.OneOf(rapid.Int32Range(1024, epmd-10), rapid.Int32Range(epmd+1, 65535)).Draw(t, "min")
	high := int32(65535)
	if low < epmd {
		high = epmd - 1
	}
	return v1alpha1.ErlangClusterSpec{
		Distribution: v1alpha1.DistributionSpec{
			Discovery: rapid.SampledFrom([]v1alpha1.Discovery{v1alpha1.DiscoveryEPMD, v1alpha1.DiscoveryFixedPort}).Draw(t, "discovery"),
			Ports:     v1alpha1.PortRange{Min: low, Max: rapid.OneOf(rapid.Just(int32(0)), rapid.Int32Range(low, high)).Draw(t, "max")},
		},
		NetworkPolicy: v1alpha1.NetworkPolicySpec{Mode: rapid.SampledFrom([]v1alpha1.NetworkPolicyMode{
			v1alpha1.NetworkPolicyManaged, v1alpha1.NetworkPolicyManaged, v1alpha1.NetworkPolicyDistributionOnly}).Draw(t, "mode")},
	}
}

// createPoliced creates a cluster of each spec in one namespace, and waits for its objects.
func createPoliced(t *testing.T, namespace string, specs []v1alpha1.ErlangClusterSpec) []policed {
	t.Helper()
	clusters := make([]policed, len(specs))
	for i, spec := range specs {
		cluster := &v1alpha1.ErlangCluster{}
		check(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object(t, namespace, minimal).Object, cluster))
		cluster.Name = fmt.Sprintf("chat-%d", i)
		cluster.Spec.Replicas = new(int32)
		cluster.Spec.Distribution, cluster.Spec.NetworkPolicy = spec.Distribution, spec.NetworkPolicy
		cluster.Spec.Template.Labels = map[string]string{"app": "chat"}
		cluster.Spec.Template.Spec.Containers[0].Ports = []corev1.ContainerPort{
			{Name: "http", ContainerPort: 8080}, {Name: "inside", ContainerPort: 9105}, {Name: "gossip", ContainerPort: 9105, Protocol: corev1.ProtocolUDP}}
		create(t, cluster)
		clusters[i] = policed{namespace: namespace, name: cluster.Name, spec: spec}
	}
	for i := range clusters {
		eventually(t, "the objects of "+clusters[i].name, clusters[i].observe)
	}
	return clusters
}

// observe reads what is there of the cluster. The StatefulSet comes after the NetworkPolicy.
func (c *policed) observe(ctx context.Context) error {
	set, err := read(ctx, &appsv1.StatefulSet{ObjectMeta: named(c.namespace, c.name)})
	if err != nil {
		return err
	}
	probe, err := read(ctx, &appsv1.Deployment{ObjectMeta: named(c.namespace, c.name+"-probe")})
	if err != nil {
		return err
	}
	policy, err := read(ctx, &networkingv1.NetworkPolicy{ObjectMeta: named(c.namespace, c.name+"-distribution")})
	if wanted := c.spec.NetworkPolicy.Mode != v1alpha1.NetworkPolicyUnmanaged; wanted && err == nil {
		c.policy = policy
	} else if wanted || client.IgnoreNotFound(err) != nil || err == nil {
		return fmt.Errorf("a NetworkPolicy is wanted: %t, and reading it gives: %w", wanted, err)
	}
	c.node, c.probe = set.Spec.Template.Labels, probe.Spec.Template.Labels
	return nil
}

func policies(clusters []policed) []*networkingv1.NetworkPolicy {
	var all []*networkingv1.NetworkPolicy
	for _, c := range clusters {
		if c.policy != nil {
			all = append(all, c.policy)
		}
	}
	return all
}

// allows is what the documentation promises of connections to a node of the cluster.
func (c *policed) allows(from *matcher.InternalPeer, protocol corev1.Protocol, port int) bool {
	ours := from != nil && from.Namespace == c.namespace && from.PodLabels[labelCluster] == c.name &&
		(from.PodLabels[labelComponent] == "node" || from.PodLabels[labelComponent] == "probe")
	distribution := protocol == corev1.ProtocolTCP && c.listens(port)
	switch c.spec.NetworkPolicy.Mode {
	case v1alpha1.NetworkPolicyUnmanaged:
		return true
	case v1alpha1.NetworkPolicyDistributionOnly:
		return ours && distribution
	default:
		return ours || !distribution
	}
}

// listens reports whether nodes, or epmd, may listen on a port.
func (c *policed) listens(port int) bool {
	ports := c.spec.Distribution.Ports
	low, high := int(ports.Min), int(ports.Max)
	if low == 0 {
		low = 9100
	}
	if c.spec.Distribution.Discovery == v1alpha1.DiscoveryFixedPort {
		return port == low
	}
	if high == 0 {
		high = low + 9
	}
	return port == epmd || low <= port && port <= high
}

func judgeEveryPort(t *testing.T, c policed) {
	t.Helper()
	judge := matcher.BuildNetworkPolicies(true, policies([]policed{c}))
	for _, from := range []map[string]string{c.node, c.probe, {"app": "chat"}} {
		traffic := &matcher.Traffic{Source: pod(c.namespace, from, "10.1.0.9"), Destination: pod(c.namespace, c.node, "10.1.0.7"), Protocol: corev1.ProtocolTCP}
		for port := 1; port <= 65535; port++ {
			traffic.ResolvedPort = port
			want := c.allows(traffic.Source.Internal, traffic.Protocol, port)
			if got := judge.IsTrafficAllowed(traffic).IsAllowed(); got != want {
				t.Fatalf("cluster %s (%+v): port %d from %v is allowed: %t, want %t", c.name, c.spec.Distribution, port, from, got, want)
			}
		}
	}
}

// judgeAnyConnection judges all policies of the namespace at once: no cluster opens or closes
// anything of another.
func judgeAnyConnection(t *testing.T, namespace string, clusters []policed) {
	judge := matcher.BuildNetworkPolicies(false, policies(clusters))
	verdicts := map[bool]int{}
	rapid.Check(t, func(t *rapid.T) {
		for range 20 {
			verdicts[judgeConnection(t, judge, namespace, clusters)]++
		}
	})
	if verdicts[true] < 100 || verdicts[false] < 100 {
		t.Errorf("the connections were too much alike: %v", verdicts)
	}
}

// judgeConnection judges one, and reports whether it is to be allowed.
func judgeConnection(t *rapid.T, judge *matcher.Policy, namespace string, clusters []policed) bool {
	to := clusters[rapid.IntRange(0, len(clusters)-1).Draw(t, "to")]
	traffic := &matcher.Traffic{
		Source:       source(t, namespace, clusters, to),
		Destination:  pod(namespace, to.node, address(t)),
		Protocol:     rapid.SampledFrom([]corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}).Draw(t, "protocol"),
		ResolvedPort: port(t, to),
	}
	want := to.allows(traffic.Source.Internal, traffic.Protocol, traffic.ResolvedPort)
	if got := judge.IsTrafficAllowed(traffic); got.IsAllowed() != want {
		t.Fatalf("%s\nis allowed: %t, want %t\n%s", traffic.Table(), got.IsAllowed(), want, got.Table())
	}
	traffic.Source, traffic.Destination = traffic.Destination, traffic.Source
	if !judge.IsTrafficAllowed(traffic).Egress.IsAllowed() {
		t.Fatalf("a node may not connect:\n%s", traffic.Table())
	}
	traffic.Source, traffic.Destination = pod("elsewhere", nil, "10.2.0.1"), pod(namespace, to.probe, address(t))
	if !judge.IsTrafficAllowed(traffic).IsAllowed() {
		t.Fatalf("the policy closes ports of the probe:\n%s", traffic.Table())
	}
	return want
}

func pod(namespace string, labels map[string]string, ip string) *matcher.TrafficPeer {
	return &matcher.TrafficPeer{IP: ip, Internal: &matcher.InternalPeer{
		Namespace: namespace, NamespaceLabels: map[string]string{"kubernetes.io/metadata.name": namespace}, PodLabels: labels}}
}

// source is a pod of the cluster or of another, in its namespace or in another, with its
// labels or almost, or no pod at all.
func source(t *rapid.T, namespace string, clusters []policed, to policed) *matcher.TrafficPeer {
	if rapid.IntRange(0, 9).Draw(t, "external") == 0 {
		return &matcher.TrafficPeer{IP: address(t)}
	}
	of := to
	if rapid.Bool().Draw(t, "of another cluster") {
		of = clusters[rapid.IntRange(0, len(clusters)-1).Draw(t, "of")]
	}
	labels := maps.Clone(rapid.SampledFrom([]map[string]string{of.node, of.probe}).Draw(t, "component"))
	if rapid.Bool().Draw(t, "almost") {
		distort(t, labels)
	}
	in := rapid.SampledFrom([]string{namespace, namespace, namespace, namespace + "0", "default"}).Draw(t, "namespace")
	return pod(in, labels, address(t))
}

// distort changes one of the labels that decide.
func distort(t *rapid.T, labels map[string]string) {
	key := rapid.SampledFrom([]string{labelCluster, labelComponent}).Draw(t, "label")
	switch value := labels[key]; rapid.IntRange(0, 4).Draw(t, "distortion") {
	case 0:
		delete(labels, key)
	case 1:
		labels[key] = value + "0"
	case 2:
		labels[key] = value[:len(value)-1]
	case 3:
		labels[key] = ""
	case 4:
		delete(labels, key)
		labels["x."+key] = value
	}
}

// port is one at an edge of what the nodes listen on, or any.
func port(t *rapid.T, of policed) int {
	edges := []int{1, epmd - 1, epmd, epmd + 1, 8080, 9105, 65534, 65535}
	for port := 2; port <= 65535; port++ {
		if of.listens(port) != of.listens(port-1) {
			edges = append(edges, port-1, port)
		}
	}
	slices.Sort(edges)
	return rapid.OneOf(rapid.SampledFrom(edges), rapid.IntRange(1, 65535)).Draw(t, "port")
}

func address(t *rapid.T) string {
	return rapid.SampledFrom([]string{"10.1.0.7", "10.1.0.8", "192.0.2.1", "fd00:1::7", "2001:db8::1"}).Draw(t, "address")
}
