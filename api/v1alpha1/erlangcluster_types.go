package v1alpha1

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ErlangCluster is a full mesh of Erlang nodes whose distribution runs over
// mutual TLS. Its status is proven: a probe speaks the distribution protocol to
// every node and reports what it observed.
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
type ErlangCluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what the cluster should be.
	// +required
	Spec ErlangClusterSpec `json:"spec"`

	// status is what was observed last.
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

// ErlangClusterSpec is what an ErlangCluster should be.
//
// +kubebuilder:validation:XValidation:rule="has(self.template.spec) && self.template.spec.containers.size() > 0",message="template.spec.containers must have the container that runs the BEAM: add it, with its name and image"
// +kubebuilder:validation:XValidation:rule="!has(self.container) || !has(self.template.spec) || self.template.spec.containers.exists(c, c.name == self.container)",message="container must name one of template.spec.containers"
// +kubebuilder:validation:XValidation:rule="!self.template.?spec.?hostNetwork.orValue(false)",message="template.spec.hostNetwork must not be true: each node needs a host name and ports of its own; remove it"
// +kubebuilder:validation:XValidation:rule="!has(self.template.spec) || !has(self.template.spec.hostname) && !has(self.template.spec.subdomain) && !has(self.template.spec.setHostnameAsFQDN)",message="template.spec.hostname, subdomain and setHostnameAsFQDN must not be set: the StatefulSet gives each node its host name; remove them"
// +kubebuilder:validation:XValidation:rule="self.template.?spec.?restartPolicy.orValue('Always') == 'Always'",message="template.spec.restartPolicy must be Always or left out"
// +kubebuilder:validation:XValidation:rule="has(self.volumeClaimTemplates) == has(oldSelf.volumeClaimTemplates)",message="volumeClaimTemplates cannot be added or removed after creation: make a new cluster and move the data"
type ErlangClusterSpec struct {
	// replicas is the number of Erlang nodes in the mesh. A full mesh has
	// n*(n-1)/2 links, so 100 is the most.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Replicas *int32 `json:"replicas,omitempty"`

	// template is the pod that runs each node: an ordinary pod template, see
	// `kubectl explain pod.spec`. What distribution over TLS needs is added to it:
	// environment variables and volume mounts in the container that runs the BEAM,
	// two volumes, and a readiness gate.
	// +required
	Template corev1.PodTemplateSpec `json:"template"`

	// container is the name of the container in the template that runs the BEAM.
	// Default: the first.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Container string `json:"container,omitempty"`

	// volumeClaimTemplates are claims that every node gets one of, as in a
	// StatefulSet. They cannot be changed after creation.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="volumeClaimTemplates cannot be changed after creation: make a new cluster and move the data"
	VolumeClaimTemplates []corev1.PersistentVolumeClaim `json:"volumeClaimTemplates,omitempty"`

	// persistentVolumeClaimRetentionPolicy says what becomes of the claims when the
	// cluster is deleted or scaled down. Default: they are kept.
	// +optional
	PersistentVolumeClaimRetentionPolicy *appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy `json:"persistentVolumeClaimRetentionPolicy,omitempty"`

	// distribution is how the nodes are named and how they find each other.
	// +optional
	// +default={"discovery":"EPMD","ports":{"min":9100}}
	Distribution DistributionSpec `json:"distribution,omitempty"`

	// cookie is the shared secret of the Erlang distribution handshake.
	// Default: generated once.
	// +optional
	// +kubebuilder:default={}
	Cookie CookieSpec `json:"cookie,omitempty"`

	// tls is how the nodes prove who they are.
	// +optional
	// +default={"certificate":{"duration":"720h","renewBefore":"240h"},"ca":{"duration":"87600h"},"delivery":"Secret"}
	TLS TLSSpec `json:"tls,omitempty"`

	// networkPolicy closes the distribution ports to strangers.
	// +optional
	// +default={"mode":"Managed"}
	NetworkPolicy NetworkPolicySpec `json:"networkPolicy,omitempty"`

	// podDisruptionBudget keeps drains from evicting several nodes at a time.
	// +optional
	// +default={"mode":"Managed"}
	PodDisruptionBudget PodDisruptionBudgetSpec `json:"podDisruptionBudget,omitempty"`
}

// DistributionSpec is how nodes are named and how they find each other.
//
// +kubebuilder:validation:XValidation:rule="has(self.nodeBasename) == has(oldSelf.nodeBasename)",message="distribution.nodeBasename cannot be added or removed after creation: node names are identities (Mnesia and others store them); make a new cluster"
// +kubebuilder:validation:XValidation:rule="self.discovery == oldSelf.discovery",message="distribution.discovery cannot be changed after creation: nodes of the two kinds cannot find each other during the rollout; make a new cluster"
// +kubebuilder:validation:XValidation:rule="self.discovery != 'FixedPort' || self.ports.min == oldSelf.ports.min",message="distribution.ports.min cannot be changed after creation with discovery FixedPort: every node assumes that its peers listen on its own port; make a new cluster"
// +kubebuilder:validation:XValidation:rule="self.discovery != 'EPMD' || self.ports.min > 4369 || (has(self.ports.max) ? self.ports.max : self.ports.min + 9) < 4369",message="distribution.ports must not include 4369, the port of epmd; without distribution.ports.max they are ten"
type DistributionSpec struct {
	// nodeBasename is the part of every node name left of the '@'. Default: the
	// cluster's name. It cannot be changed after creation.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:Pattern=`^[A-Za-z][A-Za-z0-9_-]*$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="distribution.nodeBasename cannot be changed after creation: node names are identities (Mnesia and others store them); make a new cluster"
	NodeBasename string `json:"nodeBasename,omitempty"`

	// discovery: EPMD runs the Erlang Port Mapper Daemon in each pod, on port 4369.
	// FixedPort runs no epmd: every node listens on ports.min, and assumes that its
	// peers do (-start_epmd false -erl_epmd_port). It cannot be changed after
	// creation.
	// +optional
	// +kubebuilder:default=EPMD
	Discovery Discovery `json:"discovery,omitempty"`

	// ports that the nodes listen on for distribution (inet_dist_listen_min and
	// inet_dist_listen_max of kernel(6)). With FixedPort it is min alone.
	// +optional
	// +default={"min":9100}
	Ports PortRange `json:"ports,omitempty"`
}

// Discovery is how a node finds the distribution port of another.
//
// +kubebuilder:validation:Enum=EPMD;FixedPort
type Discovery string

const (
	// DiscoveryEPMD asks the epmd of the other host.
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

	// max is the highest port. Default: the ninth after min, so that there are ten.
	// FixedPort makes no use of it.
	// +optional
	// +kubebuilder:validation:Minimum=1024
	// +kubebuilder:validation:Maximum=65535
	Max int32 `json:"max,omitempty"`
}

// ListenPorts are the ports that the nodes listen on. Each needs one; the others of a
// range are for what runs beside a node and speaks to it, such as a remote shell.
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

// CookieSpec is where the cookie comes from, and when it is replaced.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.secretKeyRef) && has(self.rotationID))",message="cookie.rotationID is for a generated cookie. With cookie.secretKeyRef, change the Secret to rotate the cookie, and remove cookie.rotationID"
type CookieSpec struct {
	// secretKeyRef names a Secret of your own, in the cluster's namespace, that holds
	// the cookie. It is read, never written. The cookie must be 8 to 255 characters
	// of [A-Za-z0-9_.=+/-] that do not begin with '-' or '+'. Default: a cookie is
	// generated once and kept in the Secret <name>-cookie. When the cookie in your
	// Secret changes, the nodes change to it one by one, without a restart.
	// +optional
	SecretKeyRef *SecretKeyReference `json:"secretKeyRef,omitempty"`

	// rotationID starts a rotation of the generated cookie whenever it changes: a new
	// cookie is drawn, and the nodes change to it one by one, without a restart and
	// without losing a link. Any text will do, such as a date.
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

// TLSSpec is how the nodes prove who they are.
//
// +kubebuilder:validation:XValidation:rule="has(self.issuerRef) || duration(self.certificate.duration) + duration(self.certificate.duration) <= duration(self.ca.duration)",message="tls.ca.duration must be at least twice tls.certificate.duration: a certificate cannot outlive its CA, and there must be time to replace the CA"
// +kubebuilder:validation:XValidation:rule="!(has(self.issuerRef) && has(self.ca.rotationID))",message="tls.ca.rotationID is for the private CA. With tls.issuerRef, name another issuer to change the CA, and remove tls.ca.rotationID"
type TLSSpec struct {
	// issuerRef names the cert-manager issuer that signs the certificates of the
	// nodes. Default: a private CA for this cluster, made with cert-manager. OTP
	// checks the chain of a connecting node and not its name, so whoever holds a
	// certificate of this issuer, and the cookie, can join: prefer the default, or an
	// issuer that serves this cluster alone. When it changes, the nodes go over to the
	// other issuer's certificates without a restart.
	// +optional
	IssuerRef *IssuerReference `json:"issuerRef,omitempty"`

	// certificate is the lifetime of each node's certificate.
	// +optional
	// +default={"duration":"720h","renewBefore":"240h"}
	Certificate CertificateLifetime `json:"certificate,omitempty"`

	// ca is the private CA: how long it lives, and when it is replaced. Unused with
	// issuerRef.
	// +optional
	// +default={"duration":"87600h"}
	CA CASpec `json:"ca,omitempty"`

	// delivery is how a node comes by its key and certificate. Secret: cert-manager
	// makes the key, and the kubelet takes it to the pod from a Secret of the pod's
	// own. PodCertificate: the kubelet makes the key, which never leaves the machine,
	// and the operator signs with an intermediate CA that the issuer has signed; it
	// needs Kubernetes 1.37 or later, and an issuer that signs CAs. A certificate then
	// lives for certificate.duration, at most 91 days, and the kubelet renews it after
	// two thirds of that, whatever certificate.renewBefore says. A change restarts the
	// nodes, one at a time.
	// +optional
	// +kubebuilder:default=Secret
	Delivery CertificateDelivery `json:"delivery,omitempty"`
}

// CertificateDelivery is how a node comes by its key and certificate.
//
// +kubebuilder:validation:Enum=Secret;PodCertificate
type CertificateDelivery string

const (
	// DeliverySecret mounts a Secret that cert-manager fills.
	DeliverySecret CertificateDelivery = "Secret"
	// DeliveryPodCertificate has the kubelet ask the operator's signer.
	DeliveryPodCertificate CertificateDelivery = "PodCertificate"
)

// IssuerReference names a cert-manager issuer.
//
// +kubebuilder:validation:XValidation:rule="self.group != 'cert-manager.io' || self.kind in ['Issuer', 'ClusterIssuer']",message="tls.issuerRef.kind must be Issuer or ClusterIssuer in the group cert-manager.io; an external issuer has a group of its own: set tls.issuerRef.group"
type IssuerReference struct {
	// name of the issuer.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// kind of the issuer: Issuer (in the cluster's namespace), ClusterIssuer, or a
	// kind of an external issuer.
	// +optional
	// +kubebuilder:default=Issuer
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind,omitempty"`

	// group of the issuer.
	// +optional
	// +kubebuilder:default=cert-manager.io
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`
}

// CertificateLifetime is how long a node's certificate lives.
//
// +kubebuilder:validation:XValidation:rule="duration(self.renewBefore) < duration(self.duration)",message="tls.certificate.renewBefore must be shorter than tls.certificate.duration"
// +kubebuilder:validation:XValidation:rule="duration(self.duration) >= duration('1h') && duration(self.renewBefore) >= duration('5m')",message="tls.certificate.duration must be at least 1h and renewBefore at least 5m (limits of cert-manager)"
type CertificateLifetime struct {
	// duration from issue to expiry, as hours, minutes and seconds ("720h").
	// +optional
	// +kubebuilder:default="720h"
	Duration Duration `json:"duration,omitempty"`

	// renewBefore is how long before expiry a new certificate is issued.
	// +optional
	// +kubebuilder:default="240h"
	RenewBefore Duration `json:"renewBefore,omitempty"`
}

// CASpec is the private CA: how long it lives, and when it is replaced.
//
// +kubebuilder:validation:XValidation:rule="duration(self.duration) >= duration('1h')",message="tls.ca.duration must be at least 1h (limit of cert-manager)"
type CASpec struct {
	// duration from issue to expiry, as hours, minutes and seconds ("87600h"): at least
	// twice that of certificate. Another CA takes its place, as with a change of
	// rotationID, when a third of it is left, or what certificate.duration is if that is
	// more (with delivery PodCertificate, three times that).
	// +optional
	// +kubebuilder:default="87600h"
	Duration Duration `json:"duration,omitempty"`

	// rotationID starts a rotation of the private CA whenever it changes: a new CA is
	// made, and the nodes go over to it step by step, without a restart and without
	// losing a link. Any text will do, such as a date.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9._-]+$`
	RotationID string `json:"rotationID,omitempty"`
}

// Duration is a length of time in hours, minutes and seconds, such as 720h or 1h30m.
//
// +kubebuilder:validation:MinLength=2
// +kubebuilder:validation:MaxLength=20
// +kubebuilder:validation:Pattern=`^([0-9]+h)?([0-9]+m)?([0-9]+s)?$`
type Duration string

// NetworkPolicySpec is how strangers are kept from the distribution ports.
type NetworkPolicySpec struct {
	// mode: Managed makes a NetworkPolicy that closes the distribution ports (and epmd)
	// to all but the cluster's nodes and its probe, and leaves all other ports open.
	// Unmanaged makes none.
	// +optional
	// +kubebuilder:default=Managed
	Mode Management `json:"mode,omitempty"`
}

// PodDisruptionBudgetSpec is how many nodes may be evicted at a time.
type PodDisruptionBudgetSpec struct {
	// mode: Managed makes a PodDisruptionBudget that lets one node be evicted at a time,
	// when there is more than one. Unmanaged makes none.
	// +optional
	// +kubebuilder:default=Managed
	Mode Management `json:"mode,omitempty"`
}

// Management says who makes an object.
//
// +kubebuilder:validation:Enum=Managed;Unmanaged
type Management string

const (
	// Managed objects are made by the operator.
	Managed Management = "Managed"
	// Unmanaged objects are left to the user.
	Unmanaged Management = "Unmanaged"
)
