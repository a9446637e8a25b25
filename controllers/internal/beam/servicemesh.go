package beam

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// The annotations by which a pod excludes ports from interception, inbound and outbound.
var exclusions = map[v1alpha1.ServiceMesh][]string{
	v1alpha1.ServiceMeshIstio:   {"traffic.sidecar.istio.io/excludeInboundPorts", "traffic.sidecar.istio.io/excludeOutboundPorts"},
	v1alpha1.ServiceMeshLinkerd: {"config.linkerd.io/skip-inbound-ports", "config.linkerd.io/skip-outbound-ports"},
}

// ExcludeFromMesh are annotations of a pod with those that keep the proxy of the service mesh
// off the distribution. Ports that the user excludes are kept, before ours.
func ExcludeFromMesh(annotations map[string]string, distribution v1alpha1.DistributionSpec) map[string]string {
	keys := exclusions[distribution.ServiceMesh]
	if len(keys) == 0 {
		return annotations
	}
	all := maps.Clone(annotations)
	if all == nil {
		all = map[string]string{}
	}
	for _, key := range keys {
		var ports []string
		if excluded := strings.TrimSpace(all[key]); excluded != "" {
			ports = append(ports, excluded)
		}
		for _, ours := range distribution.IngressPorts() {
			ports = append(ports, portList(ours, distribution.ServiceMesh)...)
		}
		all[key] = strings.Join(ports, ",")
	}
	return all
}

// portList is a range as a service mesh takes it: Istio has no ranges.
func portList(ports v1alpha1.PortRange, mesh v1alpha1.ServiceMesh) []string {
	if mesh == v1alpha1.ServiceMeshLinkerd && ports.Min != ports.Max {
		return []string{fmt.Sprintf("%d-%d", ports.Min, ports.Max)}
	}
	var list []string
	for port := ports.Min; port <= ports.Max; port++ {
		list = append(list, strconv.Itoa(int(port)))
	}
	return list
}
