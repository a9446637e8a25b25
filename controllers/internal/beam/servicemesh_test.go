package beam_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/beam"
)

// The forms are those of istio.io/latest/docs/reference/config/annotations, which has ports
// only, and of linkerd.io/2/reference/proxy-configuration, which has ranges too.
func TestExcludeFromMesh(t *testing.T) {
	const (
		istioIn, istioOut     = "traffic.sidecar.istio.io/excludeInboundPorts", "traffic.sidecar.istio.io/excludeOutboundPorts"
		linkerdIn, linkerdOut = "config.linkerd.io/skip-inbound-ports", "config.linkerd.io/skip-outbound-ports"
	)
	four := v1alpha1.PortRange{Min: 9100, Max: 9103}
	tests := map[string]struct {
		distribution v1alpha1.DistributionSpec
		given, want  map[string]string
	}{
		"no mesh": {
			distribution: v1alpha1.DistributionSpec{ServiceMesh: v1alpha1.ServiceMeshNone, Ports: four},
			given:        map[string]string{istioIn: "8080"}, want: map[string]string{istioIn: "8080"}},
		"an object of an earlier version": {distribution: v1alpha1.DistributionSpec{Ports: four}},
		"Istio": {
			distribution: v1alpha1.DistributionSpec{ServiceMesh: v1alpha1.ServiceMeshIstio, Discovery: v1alpha1.DiscoveryEPMD, Ports: four},
			want:         map[string]string{istioIn: "9100,9101,9102,9103,4369", istioOut: "9100,9101,9102,9103,4369"}},
		"Linkerd": {
			distribution: v1alpha1.DistributionSpec{ServiceMesh: v1alpha1.ServiceMeshLinkerd, Discovery: v1alpha1.DiscoveryEPMD, Ports: four},
			want:         map[string]string{linkerdIn: "9100-9103,4369", linkerdOut: "9100-9103,4369"}},
		"a fixed port": {
			distribution: v1alpha1.DistributionSpec{ServiceMesh: v1alpha1.ServiceMeshLinkerd, Discovery: v1alpha1.DiscoveryFixedPort, Ports: four},
			want:         map[string]string{linkerdIn: "9100", linkerdOut: "9100"}},
		"ports that the user excludes": {
			distribution: v1alpha1.DistributionSpec{ServiceMesh: v1alpha1.ServiceMeshIstio, Discovery: v1alpha1.DiscoveryFixedPort, Ports: four},
			given:        map[string]string{istioIn: "8080, 8081", "team": "red"},
			want:         map[string]string{istioIn: "8080, 8081,9100", istioOut: "9100", "team": "red"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, beam.ExcludeFromMesh(tt.given, tt.distribution)); diff != "" {
				t.Errorf("annotations (-want +got):\n%s", diff)
			}
		})
	}
}
