package v1alpha1

import "k8s.io/apimachinery/pkg/api/resource"

// DistributionSpec configures how nodes are named and how they find each other.
//
// +kubebuilder:validation:XValidation:rule="has(self.nodeBasename) == has(oldSelf.nodeBasename)",message="distribution.nodeBasename cannot be added or removed after creation: node names are identities (Mnesia and others store them); make a new cluster"
// +kubebuilder:validation:XValidation:rule="self.discovery == oldSelf.discovery",message="distribution.discovery cannot be changed after creation: nodes of the two kinds cannot find each other during the rollout; make a new cluster"
// +kubebuilder:validation:XValidation:rule="self.ipFamily == oldSelf.ipFamily",message="distribution.ipFamily cannot be changed after creation: nodes of the two families cannot reach each other during the rollout; make a new cluster"
// +kubebuilder:validation:XValidation:rule="self.discovery != 'FixedPort' || self.ports.min == oldSelf.ports.min",message="distribution.ports.min cannot be changed after creation with discovery FixedPort: every node assumes that its peers listen on its own port; make a new cluster"
// +kubebuilder:validation:XValidation:rule="self.discovery != 'EPMD' || self.ports.min > 4369 || (has(self.ports.max) ? self.ports.max : self.ports.min + 9) < 4369",message="distribution.ports must not include 4369, the port of epmd; without distribution.ports.max they are ten"
// +kubebuilder:validation:XValidation:rule="self.serviceMesh != 'Istio' || !has(self.ports.max) || self.ports.max - self.ports.min < 1000",message="distribution.ports must be at most 1000 with serviceMesh Istio, whose annotations name each of them"
type DistributionSpec struct {
	// nodeBasename is the part of every node name left of the '@'. Default: the
	// cluster's name. It cannot be changed after creation.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:Pattern=`^[A-Za-z][A-Za-z0-9_-]*$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="distribution.nodeBasename cannot be changed after creation: node names are identities (Mnesia and others store them); make a new cluster"
	NodeBasename string `json:"nodeBasename,omitempty"`

	// discovery EPMD runs the Erlang Port Mapper Daemon in each pod, on port 4369.
	// FixedPort runs no epmd: every node listens on ports.min, and assumes that its
	// peers do (-start_epmd false -erl_epmd_port). It cannot be changed after
	// creation.
	// +optional
	// +kubebuilder:default=EPMD
	Discovery Discovery `json:"discovery,omitempty"`

	// ports is the range that the nodes listen on for distribution (inet_dist_listen_min
	// and inet_dist_listen_max of kernel(6)). FixedPort uses min only.
	// +optional
	// +default={"min":9100}
	Ports PortRange `json:"ports,omitempty"`

	// ipFamily is the family of the addresses at which the nodes reach each other: with
	// IPv4 they run with -proto_dist inet_tls, with IPv6 with inet6_tls. On a dual-stack
	// Kubernetes both are possible. It cannot be changed after creation.
	// +optional
	// +kubebuilder:default=IPv4
	IPFamily IPFamily `json:"ipFamily,omitempty"`

	// formation Operator has the probe connect the nodes, and reconnect them when links are
	// lost. With Application it connects none: the application does, for example with
	// libcluster or as RabbitMQ does, and the probe reports which links are missing. A
	// change restarts nothing.
	// +optional
	// +kubebuilder:default=Operator
	Formation Formation `json:"formation,omitempty"`

	// serviceMesh keeps the proxies of Istio (with sidecars) or Linkerd off the distribution,
	// which has TLS of its own: the pods of nodes and probe get the annotations that exclude
	// the distribution ports and epmd from interception. A change restarts the nodes one by
	// one.
	// +optional
	// +kubebuilder:default=None
	ServiceMesh ServiceMesh `json:"serviceMesh,omitempty"`

	// socket configures the connections between the nodes.
	// +optional
	Socket SocketSpec `json:"socket,omitzero"`
}

// SocketSpec configures the sockets of the distribution (inet_dist_listen_options and
// inet_dist_connect_options of kernel(6)).
type SocketSpec struct {
	// buffer is how much a node reads from a connection at a time, from 1Ki to 16Mi: each
	// connection takes as much memory. Default: what the image or the template sets itself
	// (buffer or recbuf in the two kernel parameters), else 128Ki. OTP's own 1460 bytes make
	// TLS slow. A change restarts the nodes, one by one.
	// +optional
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self)) && quantity(string(self)).isInteger() && quantity(string(self)).compareTo(quantity('1Ki')) >= 0 && quantity(string(self)).compareTo(quantity('16Mi')) <= 0",message="distribution.socket.buffer must be a whole number of bytes from 1Ki to 16Mi"
	Buffer *resource.Quantity `json:"buffer,omitempty"`
}

// Formation is who connects the nodes.
//
// +kubebuilder:validation:Enum=Operator;Application
type Formation string

const (
	// FormationOperator has the probe connect the nodes.
	FormationOperator Formation = "Operator"
	// FormationApplication leaves that to the application.
	FormationApplication Formation = "Application"
)

// IPFamily is a family of IP addresses.
//
// +kubebuilder:validation:Enum=IPv4;IPv6
type IPFamily string

const (
	// IPv4 addresses have 32 bits.
	IPv4 IPFamily = "IPv4"
	// IPv6 addresses have 128 bits.
	IPv6 IPFamily = "IPv6"
)

// Discovery is the way in which a node finds the distribution port of another.
//
// +kubebuilder:validation:Enum=EPMD;FixedPort
type Discovery string

const (
	// DiscoveryEPMD asks the epmd of the other node's host.
	DiscoveryEPMD Discovery = "EPMD"
	// DiscoveryFixedPort assumes one port for all nodes.
	DiscoveryFixedPort Discovery = "FixedPort"
)

// PortRange is a range of TCP ports, both ends included.
//
// +kubebuilder:validation:XValidation:rule="!has(self.max) || self.min <= self.max",message="distribution.ports.min must not be greater than distribution.ports.max; it is 9100 when it is left out"
type PortRange struct {
	// min is the lowest port.
	// +optional
	// +kubebuilder:default=9100
	// +kubebuilder:validation:Minimum=1024
	// +kubebuilder:validation:Maximum=65535
	Min int32 `json:"min,omitempty"`

	// max is the highest port. Default: min + 9, a range of ten ports. FixedPort ignores
	// it.
	// +optional
	// +kubebuilder:validation:Minimum=1024
	// +kubebuilder:validation:Maximum=65535
	Max int32 `json:"max,omitempty"`
}

// ProtoDist returns the -proto_dist of the nodes.
func (d DistributionSpec) ProtoDist() string {
	if d.IPFamily == IPv6 {
		return "inet6_tls"
	}
	return "inet_tls"
}

// Network returns the network on which nodes of that ProtoDist are reached, as package
// net calls it.
func (d DistributionSpec) Network() string {
	if d.IPFamily == IPv6 {
		return "tcp6"
	}
	return "tcp4"
}

// ListenPorts returns the ports that the nodes listen on. A node needs one; the others
// of the range are for further nodes in the same pod, such as a remote shell.
func (d DistributionSpec) ListenPorts() PortRange {
	ports := d.Ports
	switch {
	case d.Discovery == DiscoveryFixedPort:
		ports.Max = ports.Min
	case ports.Max == 0:
		ports.Max = min(ports.Min+9, 65535)
	}
	return ports
}

// EPMDPort is the port of the Erlang Port Mapper Daemon (epmd(1)).
const EPMDPort = 4369

// IngressPorts returns the ports of a node's pod that the other nodes and the probe connect
// to: those that the nodes listen on, and that of epmd.
func (d DistributionSpec) IngressPorts() []PortRange {
	ports := []PortRange{d.ListenPorts()}
	if d.Discovery != DiscoveryFixedPort {
		ports = append(ports, PortRange{Min: EPMDPort, Max: EPMDPort})
	}
	return ports
}
