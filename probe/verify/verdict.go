package verify

import (
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// A Verdict is the result of an attempt to verify a node.
type Verdict struct {
	// Node is the full name of the node.
	Node string `json:"node"`
	// Stage is the last stage that was tried: Call when all of them passed.
	Stage v1alpha1.Stage `json:"stage"`
	// Reason is Verified, or why the stage failed.
	Reason string `json:"reason"`
	// Message is what was observed, and how to fix it.
	Message string `json:"message,omitempty"`
	// Timings are the stages, in the order tried. The last is Stage, which failed unless
	// the node is verified.
	Timings []Timing `json:"timings"`

	// TimedOut reports whether the node failed because time ran out.
	TimedOut bool `json:"-"`
	// TriedPlaintext reports whether a node that did not answer in TLS was tried in
	// plaintext.
	TriedPlaintext bool `json:"-"`

	// The rest is what was observed of the node as far as the stages came. What it says of
	// its certificate is of a chain to a trusted CA only.

	// CertificateNotAfter is when the certificate that the node serves expires.
	CertificateNotAfter time.Time `json:"certificateNotAfter,omitzero"`
	// CertificateSerial is the serial number of that certificate.
	CertificateSerial string `json:"certificateSerial,omitempty"`
	// CertificateAuthority is the identity of the CA that signed it.
	CertificateAuthority string `json:"certificateAuthority,omitempty"`
	// ValidUntil is when the first of the certificates expires that the verdict depends on: the node's,
	// our own, and the CAs of both.
	ValidUntil time.Time `json:"-"`
	// Incarnation is the node's creation number.
	Incarnation uint32 `json:"incarnation,omitempty"`
	// OTPRelease is the release of OTP that the node runs, such as 27.
	OTPRelease string `json:"otpRelease,omitempty"`
	// Uptime of the node's virtual machine.
	Uptime time.Duration `json:"uptimeNanoseconds,omitempty"`
	// PodUID is the UID of the pod that the node runs in, as the node reports it.
	PodUID string `json:"podUID,omitempty"`
	// Peers are the nodes that the node reports being linked to.
	Peers []string `json:"peers,omitempty"`
}

// Verified reports whether every stage passed. SlowHandshake and RuntimeMismatch are
// warnings.
func (v Verdict) Verified() bool {
	switch v.Reason {
	case v1alpha1.ReasonVerified, v1alpha1.ReasonSlowHandshake, v1alpha1.ReasonRuntimeMismatch:
		return true
	}
	return false
}

// Address is that of the distribution port; empty when the node was not found.
func (v Verdict) Address() string {
	for _, timing := range v.Timings {
		if timing.Stage == v1alpha1.StageConnectDistribution {
			return timing.Address
		}
	}
	return ""
}

// Timing is how long a stage took.
type Timing struct {
	Stage    v1alpha1.Stage `json:"stage"`
	Address  string         `json:"address"`
	Duration time.Duration  `json:"nanoseconds"`
	// Failed reports whether the stage failed.
	Failed bool `json:"failed,omitempty"`
}
