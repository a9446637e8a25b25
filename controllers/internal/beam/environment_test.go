package beam

import (
	"strings"
	"testing"

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
