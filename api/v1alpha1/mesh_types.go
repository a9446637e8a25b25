package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MeshStatus is what the probe observed when it last spoke to every node.
type MeshStatus struct {
	// observedGeneration is the generation of the spec that the probe held the mesh
	// against.
	// +required
	ObservedGeneration int64 `json:"observedGeneration"`

	// cookieVersion is the resource version of the cookie's Secret that the nodes were
	// held against: a node that is verified runs with the cookie of that version.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	CookieVersion string `json:"cookieVersion,omitempty"`

	// heartbeatTime is when the probe last confirmed all of this. It is written at
	// most once a minute while nothing else changes.
	// +required
	HeartbeatTime metav1.Time `json:"heartbeatTime"`

	// components is the number of parts that the nodes fall into: 1 is a whole mesh.
	// +optional
	Components int32 `json:"components,omitempty"`

	// links is the number of pairs of nodes of which both ends report the link.
	// +optional
	Links int32 `json:"links,omitempty"`

	// nodes is the verdict on each node.
	// +optional
	// +listType=map
	// +listMapKey=pod
	// +kubebuilder:validation:MaxItems=100
	Nodes []NodeStatus `json:"nodes,omitempty"`
}

// MaxMissingLinks is how many missing links a NodeStatus names at most: a full list
// proves nothing of the links that are not in it.
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

	// stage is the last stage that was tried: Call when all of them passed.
	// +required
	Stage Stage `json:"stage"`

	// reason is Verified, or why the stage failed.
	// +required
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason"`

	// message says in a sentence what was seen, and how to mend it.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`

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

	// missingLinks names the pods that this node should be connected to and is not:
	// the first eight.
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

	// canary is what came of showing the node a certificate of another CA than its own.
	// It is tried only while the CA changes.
	// +optional
	Canary *CanaryStatus `json:"canary,omitempty"`

	// refusals is what came of trying what must fail.
	// +optional
	Refusals *RefusalStatus `json:"refusals,omitempty"`
}

// Verified says that every stage passed: slowly, perhaps, or at a node that others
// pass too who should not.
func (n NodeStatus) Verified() bool {
	switch n.Reason {
	case ReasonVerified, ReasonSlowHandshake, ReasonMutualTLSNotEnforced:
		return true
	}
	return false
}

// CanaryStatus is what came of showing a node a certificate of a CA that nodes come to
// trust, or cease to.
type CanaryStatus struct {
	// certificateAuthority is the CA that signed it: the first 8 bytes of the SHA-256 of
	// its public key, in hexadecimal.
	// +required
	// +kubebuilder:validation:MaxLength=16
	CertificateAuthority string `json:"certificateAuthority"`

	// result says whether the node took it.
	// +required
	Result CanaryResult `json:"result"`
}

// CanaryResult is what a node made of a canary.
//
// +kubebuilder:validation:Enum=Accepted;Refused
type CanaryResult string

const (
	// CanaryAccepted by a node that trusts its CA.
	CanaryAccepted CanaryResult = "Accepted"
	// CanaryRefused by a node that does not.
	CanaryRefused CanaryResult = "Refused"
)

// RefusalStatus is what came of trying what must fail: no certificate, a
// certificate of a foreign CA, plaintext, a wrong cookie. It is tried once per
// incarnation of a node.
type RefusalStatus struct {
	// incarnation of the node at which this was tried.
	// +required
	Incarnation int64 `json:"incarnation"`

	// accepted names the trials that the node let in, and should not have.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=4
	Accepted []RefusalTrial `json:"accepted,omitempty"`
}

// RefusalTrial is a way in that a node must refuse.
//
// +kubebuilder:validation:Enum=NoCertificate;ForeignCA;Plaintext;WrongCookie
type RefusalTrial string

// The ways in that a node must refuse.
const (
	TrialNoCertificate RefusalTrial = "NoCertificate"
	TrialForeignCA     RefusalTrial = "ForeignCA"
	TrialPlaintext     RefusalTrial = "Plaintext"
	TrialWrongCookie   RefusalTrial = "WrongCookie"
)

// Stage is a step on the way to a remote call, in the order tried.
//
// +kubebuilder:validation:Enum=Resolve;Connect;Lookup;ConnectDistribution;TLS;Handshake;Call
type Stage string

// The stages, in the order tried.
const (
	// StageResolve looks the node's host name up in DNS.
	StageResolve Stage = "Resolve"
	// StageConnect reaches epmd by TCP. FixedPort has no such stage.
	StageConnect Stage = "Connect"
	// StageLookup asks epmd for the node's port. FixedPort has no such stage.
	StageLookup Stage = "Lookup"
	// StageConnectDistribution reaches the distribution port by TCP.
	StageConnectDistribution Stage = "ConnectDistribution"
	// StageTLS is the TLS handshake, both sides verified.
	StageTLS Stage = "TLS"
	// StageHandshake is the distribution handshake, the cookie proven both ways.
	StageHandshake Stage = "Handshake"
	// StageCall is a remote procedure call.
	StageCall Stage = "Call"
)
