package plan

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// service gives each pod its DNS name, also before the pod is ready: it becomes ready
// only when it has joined, and needs the name to do so.
func service(s state.State) *applycore.ServiceApplyConfiguration {
	distribution := s.Cluster.Spec.Distribution
	spec := applycore.ServiceSpec().
		WithType(corev1.ServiceTypeClusterIP).
		WithClusterIP(corev1.ClusterIPNone).
		WithPublishNotReadyAddresses(true).
		// The family of the nodes may be the second of Kubernetes, of which the default
		// would have no records.
		WithIPFamilyPolicy(corev1.IPFamilyPolicySingleStack).
		WithIPFamilies(ipFamily(distribution)).
		WithSelector(Selector(s.Names.Cluster, ComponentNode)).
		WithPorts(servicePort("distribution", distribution.Ports.Min))
	if distribution.Discovery == v1alpha1.DiscoveryEPMD {
		spec.WithPorts(servicePort("epmd", v1alpha1.EPMDPort))
	}
	return owned(applycore.Service(s.Names.Service(), s.Names.Namespace), s).WithSpec(spec)
}

func servicePort(name string, port int32) *applycore.ServicePortApplyConfiguration {
	return applycore.ServicePort().
		WithName(name).
		WithProtocol(corev1.ProtocolTCP).
		WithPort(port).
		WithTargetPort(intstr.FromInt32(port))
}

func ipFamily(distribution v1alpha1.DistributionSpec) corev1.IPFamily {
	if distribution.IPFamily == v1alpha1.IPv6 {
		return corev1.IPv6Protocol
	}
	return corev1.IPv4Protocol
}
