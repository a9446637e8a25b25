package main

import (
	"strings"
	"testing"
)

func TestOverlappingRoutesAreNamed(t *testing.T) {
	tests := []struct {
		name  string
		route route
		want  string // part of the error, or none
	}{
		{"default route", route{"default", "eth0"}, ""},
		{"default route by number", route{"0.0.0.0/0", "eth0"}, ""},
		{"elsewhere", route{"192.168.0.0/16", "eth0"}, ""},
		{"our own", route{ipv4.pods.String(), bridge}, ""},
		{"all of ten", route{"10.0.0.0/8", "tun0"}, "10.0.0.0/8 to tun0"},
		{"part of the services", route{"10.96.7.0/24", "wg0"}, "needs 10.96.0.0/16"},
		{"one address", route{"10.197.0.1", "docker0"}, "needs 10.197.0.0/24"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := overlapping([]route{test.route}, []family{ipv4})
			switch {
			case test.want == "" && err != nil:
				t.Errorf("unexpected: %v", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestNodesHaveAddressesOfTheirOwn(t *testing.T) {
	seen := map[string]string{controlPlaneAddress.String(): "the control plane"}
	for i := 1; i <= maxNodes; i++ {
		n := newNode(&cluster{checkout: "/checkout"}, i)
		for _, address := range []string{
			ipv4.node(i).String(), ipv4.podsOf(i).String(), ipv6.node(i).String(), ipv6.podsOf(i).String(), n.link, n.dir,
		} {
			if other, taken := seen[address]; taken {
				t.Errorf("%s and %s share %s", n.name, other, address)
			}
			seen[address] = n.name
		}
		for _, f := range []family{ipv4, ipv6} {
			if !f.nodes.Contains(f.node(i)) {
				t.Errorf("%s: %s is outside of %s", n.name, f.node(i), f.nodes)
			}
			if pods := f.podsOf(i); !f.pods.Contains(pods.Addr()) || pods.Masked() != pods || pods.Bits() <= f.pods.Bits() {
				t.Errorf("%s: %s is no part of %s", n.name, pods, f.pods)
			}
		}
		// The kernel accepts names of up to 15 characters.
		if len(n.link) > 15 {
			t.Errorf("%s: link %s has too long a name", n.name, n.link)
		}
	}
}
