package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MeshStatus is what the probe observed in its last sweep over all nodes. It is written when it
// changes. The Lease of the probe shows when it was last confirmed.
type MeshStatus struct {
	// observedGeneration is the generation of the spec that the probe compared the mesh
	// with.
	// +required
	ObservedGeneration int64 `json:"observedGeneration"`

	// cookieVersion is the resource version of the cookie's Secret that the probe used:
	// a verified node runs with the cookie of that version, unless its formerCookie is true.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	CookieVersion string `json:"cookieVersion,omitempty"`

	// components is the number of connected components of the mesh: 1 if it is not
	// partitioned.
	// +optional
	Components int32 `json:"components,omitempty"`

	// links is the number of links that both ends report.
	// +optional
	Links int32 `json:"links,omitempty"`

	// nodes holds the verdict on each node.
	// +optional
	// +listType=map
	// +listMapKey=pod
	// +kubebuilder:validation:MaxItems=100
	Nodes []NodeStatus `json:"nodes,omitempty"`
}

// Node returns the verdict on the node in a pod; nil when there is none.
func (m *MeshStatus) Node(pod string) *NodeStatus {
	if m == nil {
		return nil
	}
	for i := range m.Nodes {
		if m.Nodes[i].Pod == pod {
			return &m.Nodes[i]
		}
	}
	return nil
}

// MaxMissingLinks is the maximum number of missing links in a NodeStatus. A full list
// may be truncated.
const MaxMissingLinks = 8

// NodeStatus is the probe's verdict on one node.
type NodeStatus struct {
	// pod that runs the node.
	// +required
	// +kubebuilder:validation:MaxLength=63
	Pod string `json:"pod"`

	// node is the full name of the Erlang node.
	// +required
	// +kubebuilder:validation:MaxLength=255
	Node string `json:"node"`

	// stage is the last stage that was tried: Call if all of them passed.
	// +required
	Stage Stage `json:"stage"`

	// reason is Verified, or the reason why the stage failed.
	// +required
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason"`

	// message describes what was observed, and how to fix it.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`

	// podUID is the UID of the pod, as the node reports it from its environment. The
	// verdict is on that pod, and not on a later one of the same name.
	// +optional
	// +kubebuilder:validation:MaxLength=36
	PodUID string `json:"podUID,omitempty"`

	// formerCookie is true while the node is verified with the cookie that the nodes change
	// from, because the file in its container does not have the new one yet.
	// +optional
	FormerCookie bool `json:"formerCookie,omitempty"`

	// lastTransitionTime is when reason last changed.
	// +optional
	LastTransitionTime *metav1.Time `json:"lastTransitionTime,omitempty"`

	// otpRelease is the OTP release that the node runs, such as 27.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	OTPRelease string `json:"otpRelease,omitempty"`

	// incarnation is the creation number of the node: it changes when the node
	// restarts.
	// +optional
	Incarnation int64 `json:"incarnation,omitempty"`

	// startedAt is when this incarnation of the node started.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`

	// links is the number of members that this node reports being connected to.
	// +optional
	Links int32 `json:"links,omitempty"`

	// missingLinks names the pods that this node should be connected to and is not, at
	// most eight of them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=63
	MissingLinks []string `json:"missingLinks,omitempty"`

	// certificateNotAfter is when the certificate that the node serves expires.
	// +optional
	CertificateNotAfter *metav1.Time `json:"certificateNotAfter,omitempty"`

	// certificateSerial is the serial number of the certificate that the node serves, in
	// hexadecimal.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	CertificateSerial string `json:"certificateSerial,omitempty"`

	// certificateAuthority is the CA that signed the certificate that the node serves:
	// the first 8 bytes of the SHA-256 of its public key, in hexadecimal.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	CertificateAuthority string `json:"certificateAuthority,omitempty"`

	// canary is the result of presenting a certificate of another CA to the node. It is
	// tried only during a rotation of the CA.
	// +optional
	Canary *CanaryStatus `json:"canary,omitempty"`

	// refusals is the result of the connection attempts that the node must refuse.
	// +optional
	Refusals *RefusalStatus `json:"refusals,omitempty"`
}

// Verified reports whether every stage passed. The node may still be slow, not enforce
// mutual TLS, or be another kind of release than spec.runtime is for.
func (n NodeStatus) Verified() bool {
	switch n.Reason {
	case ReasonVerified, ReasonSlowHandshake, ReasonMutualTLSNotEnforced, ReasonRuntimeMismatch:
		return true
	}
	return false
}

// CanaryStatus is the result of presenting to a node a certificate of a CA that is
// being added to the trust bundle, or removed from it.
type CanaryStatus struct {
	// certificateAuthority is the CA that signed it: the first 8 bytes of the SHA-256 of
	// its public key, in hexadecimal.
	// +required
	// +kubebuilder:validation:MaxLength=16
	CertificateAuthority string `json:"certificateAuthority"`

	// result is whether the node accepted the certificate.
	// +required
	Result CanaryResult `json:"result"`
}

// CanaryResult is a node's answer to a canary certificate.
//
// +kubebuilder:validation:Enum=Accepted;Refused
type CanaryResult string

const (
	// CanaryAccepted means that the node trusts the canary's CA.
	CanaryAccepted CanaryResult = "Accepted"
	// CanaryRefused means that the node does not trust it.
	CanaryRefused CanaryResult = "Refused"
)

// RefusalStatus is the result of the connection attempts that a node must refuse: with
// no certificate, with a certificate of a foreign CA, in plaintext, with a wrong
// cookie. They are made once per incarnation of a node.
type RefusalStatus struct {
	// incarnation of the node that was tried.
	// +required
	Incarnation int64 `json:"incarnation"`

	// accepted lists the attempts that the node accepted although it must refuse them.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=4
	Accepted []RefusalTrial `json:"accepted,omitempty"`
}

// RefusalTrial is a connection attempt that a node must refuse.
//
// +kubebuilder:validation:Enum=NoCertificate;ForeignCA;Plaintext;WrongCookie
type RefusalTrial string

// The connection attempts that a node must refuse.
const (
	TrialNoCertificate RefusalTrial = "NoCertificate"
	TrialForeignCA     RefusalTrial = "ForeignCA"
	TrialPlaintext     RefusalTrial = "Plaintext"
	TrialWrongCookie   RefusalTrial = "WrongCookie"
)

// Stage is a step of a verification, from name resolution to a remote call.
//
// +kubebuilder:validation:Enum=Resolve;Connect;Lookup;ConnectDistribution;TLS;Handshake;Call
type Stage string

// The stages, in the order tried.
const (
	// StageResolve looks the node's host name up in DNS.
	StageResolve Stage = "Resolve"
	// StageConnect connects to epmd by TCP. FixedPort has no such stage.
	StageConnect Stage = "Connect"
	// StageLookup asks epmd for the node's port. FixedPort has no such stage.
	StageLookup Stage = "Lookup"
	// StageConnectDistribution connects to the distribution port by TCP.
	StageConnectDistribution Stage = "ConnectDistribution"
	// StageTLS is the TLS handshake, in which both sides verify each other.
	StageTLS Stage = "TLS"
	// StageHandshake is the distribution handshake, in which both sides prove the cookie.
	StageHandshake Stage = "Handshake"
	// StageCall is a remote procedure call.
	StageCall Stage = "Call"
)
