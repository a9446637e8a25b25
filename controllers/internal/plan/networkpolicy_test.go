package plan

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/beam"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
)

// Every port is either closed to other pods or open to all: none is both, none is
// forgotten.
func TestEveryPortIsOpenOrClosed(t *testing.T) {
	check := func(t interface{ Fatalf(string, ...any) }, distribution v1alpha1.DistributionSpec) {
		closed := merged(distribution.IngressPorts())
		covered, count := [65536]string{}, 0
		cover := func(what string, ranges []v1alpha1.PortRange) {
			for _, ports := range ranges {
				if ports.Min < 1 || ports.Max > 65535 || ports.Min > ports.Max {
					t.Fatalf("%+v: %s has the range %+v", distribution, what, ports)
				}
				for port := ports.Min; port <= ports.Max; port++ {
					if before := covered[port]; before != "" {
						t.Fatalf("%+v: port %d is %s and %s", distribution, port, before, what)
					}
					covered[port] = what
					count++
				}
			}
		}
		cover("closed", closed)
		wantClosed := count
		cover("open", complement(closed))
		if count != 65535 {
			t.Fatalf("%+v: %d ports are open or closed, and there are 65535", distribution, count)
		}
		listening := 1
		if distribution.Discovery == v1alpha1.DiscoveryEPMD {
			ports := distribution.ListenPorts()
			listening = int(ports.Max-ports.Min) + 2
			if covered[v1alpha1.EPMDPort] != "closed" {
				t.Fatalf("%+v: epmd is open", distribution)
			}
		}
		if wantClosed != listening {
			t.Fatalf("%+v: %d ports are closed, and nodes listen on %d", distribution, wantClosed, listening)
		}
		if covered[distribution.Ports.Min] != "closed" {
			t.Fatalf("%+v: the distribution port is open", distribution)
		}
	}

	for name, distribution := range map[string]v1alpha1.DistributionSpec{
		"the default":      {Discovery: v1alpha1.DiscoveryEPMD, Ports: v1alpha1.PortRange{Min: 9100, Max: 9109}},
		"the last ports":   {Discovery: v1alpha1.DiscoveryEPMD, Ports: v1alpha1.PortRange{Min: 65000, Max: 65535}},
		"all but the last": {Discovery: v1alpha1.DiscoveryEPMD, Ports: v1alpha1.PortRange{Min: 65000, Max: 65534}},
		"right below epmd": {Discovery: v1alpha1.DiscoveryEPMD, Ports: v1alpha1.PortRange{Min: 4000, Max: 4368}},
		"right above epmd": {Discovery: v1alpha1.DiscoveryEPMD, Ports: v1alpha1.PortRange{Min: 4370, Max: 4400}},
		"the last port":    {Discovery: v1alpha1.DiscoveryFixedPort, Ports: v1alpha1.PortRange{Min: 65535, Max: 65535}},
		"no last port":     {Discovery: v1alpha1.DiscoveryEPMD, Ports: v1alpha1.PortRange{Min: 9200}},
		"that of epmd":     {Discovery: v1alpha1.DiscoveryFixedPort, Ports: v1alpha1.PortRange{Min: 4369, Max: 9109}},
	} {
		t.Run(name, func(t *testing.T) { check(t, distribution) })
	}
	rapid.Check(t, func(t *rapid.T) {
		low := rapid.Int32Range(1024, 65535).Draw(t, "min")
		distribution := v1alpha1.DistributionSpec{
			Discovery: rapid.SampledFrom([]v1alpha1.Discovery{v1alpha1.DiscoveryEPMD, v1alpha1.DiscoveryFixedPort}).Draw(t, "discovery"),
			Ports:     v1alpha1.PortRange{Min: low},
		}
		if rapid.Bool().Draw(t, "has max") {
			distribution.Ports.Max = rapid.Int32Range(low, 65535).Draw(t, "max")
		}
		ports := distribution.ListenPorts()
		if distribution.Discovery == v1alpha1.DiscoveryEPMD && ports.Min <= v1alpha1.EPMDPort && v1alpha1.EPMDPort <= ports.Max {
			t.Skip("the CRD's validation refuses it")
		}
		check(t, distribution)
	})
}

// Pods that still listen on the ports from before a change of the spec stay protected, and
// so do those that the StatefulSet may still start so.
func TestFormerPortsStayClosedUntilNoPodListensOnThem(t *testing.T) {
	flags := func(ports v1alpha1.PortRange) corev1.PodSpec {
		value := beam.Flags(v1alpha1.DistributionSpec{Discovery: v1alpha1.DiscoveryEPMD, Ports: ports})
		return corev1.PodSpec{Containers: []corev1.Container{{Name: "proxy"}, {Name: "chat", Env: []corev1.EnvVar{{Name: "ERLANG_OPERATOR_SHARED_FLAGS", Value: value}, {Name: "ERL_ZFLAGS", Value: "$(ERLANG_OPERATOR_SHARED_FLAGS) -kernel inet_dist_listen_min 1 inet_dist_listen_max 65535"}}}}}
	}
	cluster := statetest.MustCluster("metadata: {name: chat}\nspec: {template: {}, distribution: {ports: {min: 9200, max: 9209}}}")
	s := statetest.Situation{StatefulSet: &statetest.StatefulSet{Replicas: 2}, Pods: []statetest.Pod{{Name: "chat-0"}, {Name: "chat-1"}}}.Seen(cluster)
	s.StatefulSet.Spec.Template.Spec = flags(v1alpha1.PortRange{Min: 9200, Max: 9209})
	s.Pods[0].Spec = flags(v1alpha1.PortRange{Min: 9200, Max: 9209})
	s.Pods[1].Spec = flags(v1alpha1.PortRange{Min: 9100, Max: 9109})
	expect := func(want ...v1alpha1.PortRange) {
		t.Helper()
		if diff := cmp.Diff(want, protectedPorts(s)); diff != "" {
			t.Errorf("protected (-want +got):\n%s", diff)
		}
	}
	expect(v1alpha1.PortRange{Min: 4369, Max: 4369}, v1alpha1.PortRange{Min: 9100, Max: 9109}, v1alpha1.PortRange{Min: 9200, Max: 9209})
	for _, none := range []v1alpha1.PortRange{{Min: 9000, Max: 10}, {Min: 0, Max: 9}} {
		s.Pods[1].Spec = flags(none)
		s.Pods[1].Spec.Containers[1].Env[0].Value = fmt.Sprintf("-kernel inet_dist_listen_min %d inet_dist_listen_max %d", none.Min, none.Max)
		expect(v1alpha1.PortRange{Min: 4369, Max: 4369}, v1alpha1.PortRange{Min: 9200, Max: 9209})
	}
	s.Pods[1].Spec = flags(v1alpha1.PortRange{Min: 9205, Max: 9214})
	expect(v1alpha1.PortRange{Min: 4369, Max: 4369}, v1alpha1.PortRange{Min: 9200, Max: 9214})
	s.Pods = s.Pods[:1]
	expect(v1alpha1.PortRange{Min: 4369, Max: 4369}, v1alpha1.PortRange{Min: 9200, Max: 9209})
	s.StatefulSet.Spec.Template.Spec = flags(v1alpha1.PortRange{Min: 9100, Max: 9109})
	expect(v1alpha1.PortRange{Min: 4369, Max: 4369}, v1alpha1.PortRange{Min: 9100, Max: 9109}, v1alpha1.PortRange{Min: 9200, Max: 9209})
}

// In a namespace that denies by default, the policy opens nothing but the distribution.
func TestDistributionOnlyOpensNothingElse(t *testing.T) {
	cluster := statetest.MustCluster("metadata: {name: chat}\nspec: {template: {}, networkPolicy: {mode: DistributionOnly}}")
	policy := networkPolicy(statetest.Situation{}.Seen(cluster))
	if rules := policy.Spec.Ingress; len(rules) != 1 || len(rules[0].From) != 2 || len(rules[0].Ports) != 2 {
		t.Errorf("the policy has the rules %+v", rules)
	}
}
