package v1alpha1

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ErlangCluster is a full mesh of Erlang nodes whose distribution runs over
// mutual TLS. Its status is observed: a probe speaks the distribution protocol to
// every node and reports the result.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=erl,categories=erlang
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas,selectorpath=.status.selector
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Nodes",type=string,JSONPath=`.status.nodes`,description="Verified nodes of those expected"
// +kubebuilder:printcolumn:name="Links",type=string,JSONPath=`.status.links`,description="Established links between nodes of those expected"
// +kubebuilder:printcolumn:name="Certs-Expire",type=string,JSONPath=`.status.certificatesExpire`,description="Time left until the first served certificate expires"
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && self.metadata.name.size() <= 40",message="metadata.name must be a DNS label of at most 40 characters that begins with a letter and has no dot: pod, Service and node names are made from it"
// +kubebuilder:validation:XValidation:rule="!has(self.spec.cookie) || !has(self.spec.cookie.secretKeyRef) || self.spec.cookie.secretKeyRef.name != self.metadata.name + '-cookie'",message="cookie.secretKeyRef must not name the Secret <cluster>-cookie, which the operator writes: name a Secret of your own"
type ErlangCluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the desired state of the cluster.
	// +required
	Spec ErlangClusterSpec `json:"spec"`

	// status is the most recently observed state of the cluster.
	// +optional
	// +default={"observedGeneration":-1}
	Status ErlangClusterStatus `json:"status,omitempty"`
}

// ErlangClusterList is a list of ErlangClusters.
//
// +kubebuilder:object:root=true
type ErlangClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []ErlangCluster `json:"items"`
}

// ErlangClusterSpec is the desired state of an ErlangCluster.
//
// +kubebuilder:validation:XValidation:rule="has(self.template.spec) && self.template.spec.containers.size() > 0",message="template.spec.containers must have the container that runs the BEAM: add it, with its name and image"
// +kubebuilder:validation:XValidation:rule="!has(self.container) || !has(self.template.spec) || self.template.spec.containers.exists(c, c.name == self.container)",message="container must name one of template.spec.containers"
// +kubebuilder:validation:XValidation:rule="!self.template.?spec.?hostNetwork.orValue(false)",message="template.spec.hostNetwork must not be true: each node needs a host name and ports of its own; remove it"
// +kubebuilder:validation:XValidation:rule="!has(self.template.spec) || !has(self.template.spec.hostname) && !has(self.template.spec.subdomain) && !has(self.template.spec.setHostnameAsFQDN)",message="template.spec.hostname, subdomain and setHostnameAsFQDN must not be set: the StatefulSet gives each node its host name; remove them"
// +kubebuilder:validation:XValidation:rule="self.template.?spec.?restartPolicy.orValue('Always') == 'Always'",message="template.spec.restartPolicy must be Always or left out"
// +kubebuilder:validation:XValidation:rule="has(self.volumeClaimTemplates) == has(oldSelf.volumeClaimTemplates)",message="volumeClaimTemplates cannot be added or removed after creation: make a new cluster and move the data"
type ErlangClusterSpec struct {
	// replicas is the number of Erlang nodes in the mesh. A full mesh has
	// n*(n-1)/2 links, so the limit is 100.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Replicas *int32 `json:"replicas,omitempty"`

	// template is the pod that runs each node: an ordinary pod template, see
	// `kubectl explain pod.spec`. What distribution over TLS needs is added to it:
	// environment variables and volume mounts in the container that runs the BEAM, a
	// program before its command, exec probes and hooks, volumes, and a readiness gate.
	// +required
	Template corev1.PodTemplateSpec `json:"template"`

	// suspend stops every change: the manager creates, applies and deletes nothing, and the
	// probe connects no nodes and changes nothing in them. Both report on, and pods whose
	// node has joined the mesh become Ready. Kubernetes and cert-manager go on with what is
	// there.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// container is the name of the container in the template that runs the BEAM.
	// Default: the first.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Container string `json:"container,omitempty"`

	// runtime determines how the name of the node reaches the BEAM, and only that one of
	// the container. Erl: in ERL_ZFLAGS, for erl, elixir, iex, and releases whose start
	// script gives no name of its own. A command in the template is run through
	// /run/erlang-operator/bin/node; without one, every BEAM of the container takes itself
	// for the node unless it is run through /run/erlang-operator/bin/visitor. Mix: in
	// RELEASE_NODE, for an Elixir release. Relx: in vm.args.src, which must have the line
	// -name ${ERLANG_NODE}, for a release with the extended start script of relx (rebar3).
	// Custom: the template or the image names the node $(ERLANG_NODE). A change restarts
	// the nodes one by one.
	// +optional
	// +kubebuilder:default=Erl
	Runtime Runtime `json:"runtime,omitempty"`

	// visitors Managed runs the exec probes and lifecycle hooks of the container through
	// /run/erlang-operator/bin/visitor, so that a BEAM that they start does not take
	// itself for the node. It needs /bin/sh in the image. With Unmanaged they run as
	// written. A change restarts the nodes one by one.
	// +optional
	// +kubebuilder:default=Managed
	Visitors Management `json:"visitors,omitempty"`

	// volumeClaimTemplates are persistent volume claims that each node gets a copy of,
	// as in a StatefulSet. They cannot be changed after creation.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="volumeClaimTemplates cannot be changed after creation: make a new cluster and move the data"
	VolumeClaimTemplates []corev1.PersistentVolumeClaim `json:"volumeClaimTemplates,omitempty"`

	// persistentVolumeClaimRetentionPolicy determines whether the claims are deleted
	// when the cluster is deleted or scaled down. Default: they are kept.
	// +optional
	PersistentVolumeClaimRetentionPolicy *appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy `json:"persistentVolumeClaimRetentionPolicy,omitempty"`

	// distribution configures how the nodes are named and how they find each other.
	// +optional
	// +default={"discovery":"EPMD","ports":{"min":9100},"ipFamily":"IPv4","formation":"Operator","serviceMesh":"None"}
	Distribution DistributionSpec `json:"distribution,omitempty"`

	// cookie is the shared secret of the Erlang distribution handshake.
	// Default: generated once.
	// +optional
	// +kubebuilder:default={}
	Cookie CookieSpec `json:"cookie,omitempty"`

	// tls configures the certificates by which the nodes authenticate each other.
	// +optional
	// +default={"certificate":{"duration":"720h"},"ca":{"duration":"87600h"},"delivery":"Secret"}
	TLS TLSSpec `json:"tls,omitempty"`

	// networkPolicy restricts access to the distribution ports.
	// +optional
	// +default={"mode":"Managed"}
	NetworkPolicy NetworkPolicySpec `json:"networkPolicy,omitempty"`

	// rollout configures how a change of the template reaches the nodes.
	// +optional
	// +default={"maxUnavailable":1}
	Rollout RolloutSpec `json:"rollout,omitempty"`

	// podDisruptionBudget limits how many nodes are evicted at a time.
	// +optional
	// +default={"mode":"Managed"}
	PodDisruptionBudget PodDisruptionBudgetSpec `json:"podDisruptionBudget,omitempty"`

	// probe configures the pod of the probe, where that needs more than the defaults to be
	// admitted, to be scheduled, or to pull its image. A change restarts no node.
	// +optional
	Probe ProbeSpec `json:"probe,omitempty"`
}

// MaxReplicas is the maximum number of nodes of a cluster.
const MaxReplicas = 100

// DesiredReplicas returns the number of nodes that the spec asks for.
func (s ErlangClusterSpec) DesiredReplicas() int32 {
	if s.Replicas == nil {
		return 1
	}
	return *s.Replicas
}

// CookieSpec configures where the cookie comes from, and when it is replaced.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.secretKeyRef) && has(self.rotationID))",message="cookie.rotationID is for a generated cookie. With cookie.secretKeyRef, change the Secret to rotate the cookie, and remove cookie.rotationID"
type CookieSpec struct {
	// secretKeyRef names a Secret of yours, in the cluster's namespace, that holds the
	// cookie. The operator reads it and never writes it. The cookie must be 8 to 255 characters
	// of [A-Za-z0-9_.=+/-] that do not begin with '-' or '+'. When the cookie in your
	// Secret changes, the nodes change to it one by one, without a restart. Default: a
	// cookie is generated once and stored in the Secret <name>-cookie.
	// +optional
	SecretKeyRef *SecretKeyReference `json:"secretKeyRef,omitempty"`

	// rotationID starts a rotation of the generated cookie whenever it changes: a new
	// cookie is generated, and the nodes change to it one by one, without a restart and
	// without losing a link. The value itself has no meaning; a date is a good choice.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9._-]+$`
	RotationID string `json:"rotationID,omitempty"`
}

// SecretKeyReference names one key of a Secret in the cluster's namespace.
type SecretKeyReference struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// key in the Secret's data.
	// +optional
	// +kubebuilder:default=cookie
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`
}

// NetworkPolicySpec configures access to the distribution ports.
type NetworkPolicySpec struct {
	// mode Managed creates a NetworkPolicy that opens the distribution ports (and epmd)
	// only to the cluster's nodes and its probe, and all other ports to everybody.
	// DistributionOnly creates one that opens nothing else, for namespaces that deny
	// ingress by default: your own policies open the ports of your application. Without
	// them all other ports are closed. Unmanaged creates none.
	// +optional
	// +kubebuilder:default=Managed
	Mode NetworkPolicyMode `json:"mode,omitempty"`
}

// PodDisruptionBudgetSpec configures how many nodes may be evicted at a time.
type PodDisruptionBudgetSpec struct {
	// mode Managed creates a PodDisruptionBudget that lets one node be evicted at a time,
	// when there is more than one. Unmanaged creates none.
	// +optional
	// +kubebuilder:default=Managed
	Mode Management `json:"mode,omitempty"`
}

// Runtime is how an image starts the BEAM of a node.
//
// +kubebuilder:validation:Enum=Erl;Mix;Relx;Custom
type Runtime string

const (
	// RuntimeErl is erl, elixir, iex, or what starts them.
	RuntimeErl Runtime = "Erl"
	// RuntimeMix is the start script of an Elixir release.
	RuntimeMix Runtime = "Mix"
	// RuntimeRelx is the extended start script of a release of relx.
	RuntimeRelx Runtime = "Relx"
	// RuntimeCustom is whatever the user makes use the name of the node.
	RuntimeCustom Runtime = "Custom"
)

// Management determines who creates an object, or runs a command.
//
// +kubebuilder:validation:Enum=Managed;Unmanaged
type Management string

const (
	// Managed objects are created by the operator, and managed commands run through its
	// program.
	Managed Management = "Managed"
	// Unmanaged objects and commands are left to the user.
	Unmanaged Management = "Unmanaged"
)

// NetworkPolicyMode is what the NetworkPolicy of a cluster opens.
//
// +kubebuilder:validation:Enum=Managed;DistributionOnly;Unmanaged
type NetworkPolicyMode string

const (
	// NetworkPolicyManaged opens the distribution ports to the nodes and the probe, and all
	// other ports to everybody.
	NetworkPolicyManaged NetworkPolicyMode = "Managed"
	// NetworkPolicyDistributionOnly opens nothing but the distribution ports.
	NetworkPolicyDistributionOnly NetworkPolicyMode = "DistributionOnly"
	// NetworkPolicyUnmanaged leaves NetworkPolicies to the user.
	NetworkPolicyUnmanaged NetworkPolicyMode = "Unmanaged"
)
