package plan

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	applymeta "k8s.io/client-go/applyconfigurations/meta/v1"
	applynetworking "k8s.io/client-go/applyconfigurations/networking/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/beam"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// networkPolicy closes the distribution ports, and epmd, to all but the nodes and their
// probe. A pod that a policy selects is closed to all that no policy allows, so the other
// ports are opened as ranges, unless the user's own policies do so.
func networkPolicy(s state.State) *applynetworking.NetworkPolicyApplyConfiguration {
	closed := protectedPorts(s)
	members := applynetworking.NetworkPolicyIngressRule().
		WithFrom(
			peer(Selector(s.Names.Cluster, ComponentNode)),
			peer(Selector(s.Names.Cluster, ComponentProbe)))
	for _, ports := range closed {
		members.WithPorts(policyPorts(corev1.ProtocolTCP, ports))
	}
	ingress := []*applynetworking.NetworkPolicyIngressRuleApplyConfiguration{members}
	if s.Cluster.Spec.NetworkPolicy.Mode != v1alpha1.NetworkPolicyDistributionOnly {
		ingress = append(ingress, allBut(closed))
	}
	return owned(applynetworking.NetworkPolicy(s.Names.NetworkPolicy(), s.Names.Namespace), s).
		WithSpec(applynetworking.NetworkPolicySpec().
			WithPodSelector(applymeta.LabelSelector().WithMatchLabels(Selector(s.Names.Cluster, ComponentNode))).
			WithPolicyTypes(networkingv1.PolicyTypeIngress).
			WithIngress(ingress...))
}

// allBut opens all ports but these TCP ports to everybody.
func allBut(closed []v1alpha1.PortRange) *applynetworking.NetworkPolicyIngressRuleApplyConfiguration {
	open := applynetworking.NetworkPolicyIngressRule()
	for _, ports := range complement(closed) {
		open.WithPorts(policyPorts(corev1.ProtocolTCP, ports))
	}
	for _, protocol := range []corev1.Protocol{corev1.ProtocolUDP, corev1.ProtocolSCTP} {
		open.WithPorts(policyPorts(protocol, v1alpha1.PortRange{Min: 1, Max: 65535}))
	}
	return open
}

// protectedPorts are the distribution ports of the spec, and of the pods that were made
// before it changed or still may be, ascending and apart from each other.
func protectedPorts(s state.State) []v1alpha1.PortRange {
	ports := s.Cluster.Spec.Distribution.IngressPorts()
	if s.StatefulSet != nil {
		ports = append(ports, beam.ListenPorts(s.StatefulSet.Spec.Template.Spec)...)
	}
	for _, pod := range s.Pods {
		if _, ours := s.Names.Ordinal(pod.Name); ours {
			ports = append(ports, beam.ListenPorts(pod.Spec)...)
		}
	}
	return merged(ports)
}

// merged are the ports of all ranges, ascending and apart from each other. A range that is
// none, as a pod that somebody else made may name, would open ports that are in another.
func merged(ranges []v1alpha1.PortRange) []v1alpha1.PortRange {
	ranges = slices.DeleteFunc(ranges, func(ports v1alpha1.PortRange) bool { return ports.Min < 1 || ports.Max < ports.Min })
	slices.SortFunc(ranges, func(a, b v1alpha1.PortRange) int { return cmp.Compare(a.Min, b.Min) })
	var all []v1alpha1.PortRange
	for _, ports := range ranges {
		if last := len(all) - 1; last >= 0 && ports.Min <= all[last].Max+1 {
			all[last].Max = max(all[last].Max, ports.Max)
		} else {
			all = append(all, ports)
		}
	}
	return all
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
