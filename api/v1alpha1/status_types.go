package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ErlangClusterStatus is the observed state of an ErlangCluster. The manager writes
// every field except mesh, which the cluster's probe writes.
type ErlangClusterStatus struct {
	// observedGeneration is the generation of the spec that this status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions of the cluster. Ready is derived from the others. Reconciling and
	// Stalled are present only while they are true, as kstatus expects.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// replicas is the number of member pods that exist, for the scale subresource.
	// +optional
	Replicas int32 `json:"replicas,omitempty"`

	// selector selects the member pods, for the scale subresource.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Selector string `json:"selector,omitempty"`

	// nodes is how many of the expected nodes are verified, such as 3/3.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	Nodes string `json:"nodes,omitempty"`

	// links is how many of the expected links are established, such as 3/3.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	Links string `json:"links,omitempty"`

	// certificatesExpire is the approximate time until the first of the served
	// certificates expires, such as 29d.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	CertificatesExpire string `json:"certificatesExpire,omitempty"`

	// expectedNodes is the number of nodes that the spec asks for.
	// +optional
	ExpectedNodes int32 `json:"expectedNodes"`

	// verifiedNodes is the number of expected nodes that the probe verified.
	// +optional
	VerifiedNodes int32 `json:"verifiedNodes"`

	// expectedLinks is the number of links of a full mesh of the expected nodes.
	// +optional
	ExpectedLinks int32 `json:"expectedLinks"`

	// establishedLinks is the number of expected links that both ends report.
	// +optional
	EstablishedLinks int32 `json:"establishedLinks"`

	// certificatesExpireAt is when the first of the served certificates expires.
	// +optional
	CertificatesExpireAt *metav1.Time `json:"certificatesExpireAt,omitempty"`

	// storedCertificates are the certificates stored for the nodes, one for each. The
	// probe compares the certificate that each node serves with them.
	// +optional
	// +listType=map
	// +listMapKey=pod
	// +kubebuilder:validation:MaxItems=100
	StoredCertificates []StoredCertificate `json:"storedCertificates,omitempty"`

	// authorities are the CAs in the nodes' trust bundle: one, and two during a rotation.
	// +optional
	// +listType=map
	// +listMapKey=identity
	// +kubebuilder:validation:MaxItems=16
	Authorities []AuthorityStatus `json:"authorities,omitempty"`

	// rotation of each credential that is being rotated: how far it is, and what it waits
	// for. It is derived from what was observed, and no decision depends on it.
	// +optional
	// +listType=map
	// +listMapKey=credential
	// +kubebuilder:validation:MaxItems=2
	Rotation []RotationStatus `json:"rotation,omitempty"`

	// rollout of the latest template, while it is under way: how far it is, and what it
	// waits for. No decision depends on it.
	// +optional
	Rollout *RolloutStatus `json:"rollout,omitempty"`

	// mesh is what the probe observed.
	// +optional
	Mesh *MeshStatus `json:"mesh,omitempty"`
}

// MaxAuthorities is the maximum number of CAs in a status.
const MaxAuthorities = 16

// AuthorityStatus is one CA of the trust bundle.
type AuthorityStatus struct {
	// identity is the first 8 bytes of the SHA-256 of the CA's public key, in
	// hexadecimal, as in mesh.nodes[].certificateAuthority.
	// +required
	// +kubebuilder:validation:MaxLength=16
	Identity string `json:"identity"`

	// subject of the CA's certificate.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Subject string `json:"subject,omitempty"`

	// notAfter is when the CA's certificate expires.
	// +required
	NotAfter metav1.Time `json:"notAfter"`
}

// StoredCertificate is the certificate stored for one node, which the node serves once
// it has read it.
type StoredCertificate struct {
	// pod that runs the node.
	// +required
	// +kubebuilder:validation:MaxLength=63
	Pod string `json:"pod"`

	// certificateSerial is the serial number of the certificate, in hexadecimal.
	// +required
	// +kubebuilder:validation:MaxLength=64
	CertificateSerial string `json:"certificateSerial"`

	// certificateNotAfter is when the certificate expires.
	// +required
	CertificateNotAfter metav1.Time `json:"certificateNotAfter"`

	// storedSince is when this certificate was first seen in the Secret.
	// +required
	StoredSince metav1.Time `json:"storedSince"`
}
