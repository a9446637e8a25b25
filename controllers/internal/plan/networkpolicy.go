package plan

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	applymeta "k8s.io/client-go/applyconfigurations/meta/v1"
	applynetworking "k8s.io/client-go/applyconfigurations/networking/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// networkPolicy closes the distribution ports, and epmd, to all but the nodes and
// their probe. A pod that a policy selects is closed to all that no policy allows,
// so the other ports are opened as ranges: applications notice nothing.
func networkPolicy(s state.State) *applynetworking.NetworkPolicyApplyConfiguration {
	closed := distributionPorts(s.Cluster.Spec.Distribution)
	members := applynetworking.NetworkPolicyIngressRule().
		WithFrom(
			peer(Selector(s.Names.Cluster, ComponentNode)),
			peer(Selector(s.Names.Cluster, ComponentProbe)))
	for _, ports := range closed {
		members.WithPorts(policyPorts(corev1.ProtocolTCP, ports))
	}
	open := applynetworking.NetworkPolicyIngressRule()
	for _, ports := range complement(closed) {
		open.WithPorts(policyPorts(corev1.ProtocolTCP, ports))
	}
	for _, protocol := range []corev1.Protocol{corev1.ProtocolUDP, corev1.ProtocolSCTP} {
		open.WithPorts(policyPorts(protocol, v1alpha1.PortRange{Min: 1, Max: 65535}))
	}
	return owned(applynetworking.NetworkPolicy(s.Names.NetworkPolicy(), s.Names.Namespace), s).
		WithSpec(applynetworking.NetworkPolicySpec().
			WithPodSelector(applymeta.LabelSelector().WithMatchLabels(Selector(s.Names.Cluster, ComponentNode))).
			WithPolicyTypes(networkingv1.PolicyTypeIngress).
			WithIngress(members, open))
}

// distributionPorts are the ports that the distribution listens on, ascending and
// apart from each other.
func distributionPorts(distribution v1alpha1.DistributionSpec) []v1alpha1.PortRange {
	ports := distribution.ListenPorts()
	epmd := v1alpha1.PortRange{Min: epmdPort, Max: epmdPort}
	switch {
	case distribution.Discovery == v1alpha1.DiscoveryFixedPort:
		return []v1alpha1.PortRange{ports}
	case ports.Max < epmdPort:
		return []v1alpha1.PortRange{ports, epmd}
	default:
		return []v1alpha1.PortRange{epmd, ports}
	}
}

// complement are the ports from 1 to 65535 that are in none of the ranges.
func complement(ranges []v1alpha1.PortRange) []v1alpha1.PortRange {
	var open []v1alpha1.PortRange
	next := int32(1)
	for _, taken := range ranges {
		if next < taken.Min {
			open = append(open, v1alpha1.PortRange{Min: next, Max: taken.Min - 1})
		}
		next = taken.Max + 1
	}
	if next <= 65535 {
		open = append(open, v1alpha1.PortRange{Min: next, Max: 65535})
	}
	return open
}

func policyPorts(protocol corev1.Protocol, ports v1alpha1.PortRange) *applynetworking.NetworkPolicyPortApplyConfiguration {
	configuration := applynetworking.NetworkPolicyPort().
		WithProtocol(protocol).
		WithPort(intstr.FromInt32(ports.Min))
	if ports.Max > ports.Min {
		configuration.WithEndPort(ports.Max)
	}
	return configuration
}

func peer(labels map[string]string) *applynetworking.NetworkPolicyPeerApplyConfiguration {
	return applynetworking.NetworkPolicyPeer().
		WithPodSelector(applymeta.LabelSelector().WithMatchLabels(labels))
}
