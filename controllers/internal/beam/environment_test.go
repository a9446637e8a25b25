package beam

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// What a user leaves out of distribution.ports follows from what is given.
func TestPortsThatAreLeftOut(t *testing.T) {
	for name, test := range map[string]struct {
		discovery v1alpha1.Discovery
		ports     v1alpha1.PortRange
		flags     string
	}{
		"no max":                     {v1alpha1.DiscoveryEPMD, v1alpha1.PortRange{Min: 9200}, " -kernel inet_dist_listen_min 9200 inet_dist_listen_max 9209"},
		"no max, near the end":       {v1alpha1.DiscoveryEPMD, v1alpha1.PortRange{Min: 65530}, " -kernel inet_dist_listen_min 65530 inet_dist_listen_max 65535"},
		"both":                       {v1alpha1.DiscoveryEPMD, v1alpha1.PortRange{Min: 9200, Max: 9200}, " -kernel inet_dist_listen_min 9200 inet_dist_listen_max 9200"},
		"no max, and a fixed port":   {v1alpha1.DiscoveryFixedPort, v1alpha1.PortRange{Min: 9200}, " -start_epmd false -erl_epmd_port 9200"},
		"a max that FixedPort drops": {v1alpha1.DiscoveryFixedPort, v1alpha1.PortRange{Min: 9100, Max: 9109}, " -start_epmd false -erl_epmd_port 9100"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Flags(v1alpha1.DistributionSpec{Discovery: test.discovery, Ports: test.ports}); !strings.HasSuffix(got, test.flags) {
				t.Errorf("the flags are %q, want them to end in %q", got, test.flags)
			}
		})
	}
}

// What is kept of a pod is enough to know its ports, and has none of its other variables.
func TestPortsAreReadFromTheFlagsOfAPod(t *testing.T) {
	for discovery, want := range map[v1alpha1.Discovery]v1alpha1.PortRange{
		v1alpha1.DiscoveryEPMD:      {Min: 9200, Max: 9209},
		v1alpha1.DiscoveryFixedPort: {Min: 9200, Max: 9200},
	} {
		flags := Flags(v1alpha1.DistributionSpec{Discovery: discovery, Ports: v1alpha1.PortRange{Min: 9200}})
		pod := corev1.PodSpec{Containers: []corev1.Container{{Name: "proxy", Env: []corev1.EnvVar{{Name: "A", Value: "x"}}},
			{Name: "chat", Image: "x", Env: []corev1.EnvVar{{Name: "TOKEN", Value: "hush"}, {Name: envSharedFlags, Value: flags}, {Name: envFlags, Value: "-hush"}}}}}
		KeepFlags(&pod)
		if diff := cmp.Diff([]v1alpha1.PortRange{want}, ListenPorts(pod)); diff != "" {
			t.Errorf("%s: ports (-want +got):\n%s", discovery, diff)
		}
		if text := fmt.Sprint(pod); strings.Contains(text, "hush") || strings.Contains(text, "proxy") {
			t.Errorf("%s: kept is %s", discovery, text)
		}
	}
}
