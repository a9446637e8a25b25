package plan

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// Every port is either closed to other pods or open to all: none is both, none is
// forgotten.
func TestEveryPortIsOpenOrClosed(t *testing.T) {
	check := func(t interface{ Fatalf(string, ...any) }, distribution v1alpha1.DistributionSpec) {
		closed := distributionPorts(distribution)
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
			if covered[epmdPort] != "closed" {
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
		if distribution.Discovery == v1alpha1.DiscoveryEPMD && ports.Min <= epmdPort && epmdPort <= ports.Max {
			t.Skip("the CRD's validation refuses it")
		}
		check(t, distribution)
	})
}
