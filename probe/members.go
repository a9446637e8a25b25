package probe

import (
	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/probe/sweep"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

// expected are the members that the spec asks for, in the order of their ordinals,
// and at which incarnation each was last proven.
func expected(cluster *v1alpha1.ErlangCluster, names naming.Names, previous *v1alpha1.MeshStatus) []sweep.Member {
	replicas, distribution := cluster.Spec.DesiredReplicas(), cluster.Spec.Distribution
	ports := distribution.ListenPorts()
	members := make([]sweep.Member, 0, replicas)
	for _, pod := range names.Pods(replicas) {
		member := sweep.Member{Target: verify.Target{Node: names.Node(pod), Network: distribution.Network()}}
		if distribution.Discovery == v1alpha1.DiscoveryFixedPort {
			member.FixedPort = uint16(ports.Min)
		} else {
			member.Ports = verify.PortRange{Min: uint16(ports.Min), Max: uint16(ports.Max)}
		}
		if known := nodeOf(previous, pod); known != nil && known.Refusals != nil {
			member.ProvenAt = uint32(known.Refusals.Incarnation)
		}
		for _, stored := range cluster.Status.StoredCertificates {
			if stored.Pod == pod {
				member.Stored = stored.CertificateSerial
			}
		}
		members = append(members, member)
	}
	return members
}

// nodeOf is the status of a pod's node; nil when there is none.
func nodeOf(mesh *v1alpha1.MeshStatus, pod string) *v1alpha1.NodeStatus {
	if mesh == nil {
		return nil
	}
	for i := range mesh.Nodes {
		if mesh.Nodes[i].Pod == pod {
			return &mesh.Nodes[i]
		}
	}
	return nil
}
