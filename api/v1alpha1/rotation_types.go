package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// RotationStatus is how far the rotation of one credential is.
type RotationStatus struct {
	// credential that is being rotated.
	// +required
	Credential RotatingCredential `json:"credential"`

	// phase of the rotation.
	// +required
	Phase RotationPhase `json:"phase"`

	// waitingFor is what ends the phase, such as "chat-1 to accept the new CA".
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	WaitingFor string `json:"waitingFor,omitempty"`

	// since is when the phase was first observed; a change of the target within the same
	// phase does not move it.
	// +required
	Since metav1.Time `json:"since"`
}

// RotatingCredential is a credential that all nodes share.
//
// +kubebuilder:validation:Enum=CA;Cookie
type RotatingCredential string

// The credentials that rotate while the nodes run.
const (
	RotatingCA     RotatingCredential = "CA"
	RotatingCookie RotatingCredential = "Cookie"
)

// RotationPhase is how far the rotation of a credential is. Each begins when every node
// was observed to have come through the one before.
//
// +kubebuilder:validation:Enum=IssuingCanary;WideningTrust;Reissuing;ShrinkingTrust;ProvingRefusal;RestoringCookie;AwaitingNodes;DistributingCookie;ChangingCookie;DroppingCookie
type RotationPhase string

// The phases of a rotation of the CA, in their order.
const (
	// RotationSettled: nothing rotates. No status has it.
	RotationSettled RotationPhase = "Settled"
	// RotationIssuingCanary: cert-manager makes the new CA, and a certificate of it for
	// the probe to show to the nodes: the canary.
	RotationIssuingCanary RotationPhase = "IssuingCanary"
	// RotationWideningTrust: the nodes come to trust the new CA beside the old one, until
	// each of them was seen to accept the canary.
	RotationWideningTrust RotationPhase = "WideningTrust"
	// RotationReissuing: the certificates are reissued by the new CA, until every node was
	// seen to serve its own.
	RotationReissuing RotationPhase = "Reissuing"
	// RotationShrinkingTrust: the old CA leaves the trust bundle.
	RotationShrinkingTrust RotationPhase = "ShrinkingTrust"
	// RotationProvingRefusal: the old CA and its key are kept for the canary alone, until
	// every node was seen to refuse that.
	RotationProvingRefusal RotationPhase = "ProvingRefusal"
)

// The phases of a rotation of the cookie, in their order.
const (
	// RotationRestoringCookie: somebody has edited the cookie's Secret. The cookie that the
	// nodes run with is put back, and the edited one beside it, for nodes that started since.
	RotationRestoringCookie RotationPhase = "RestoringCookie"
	// RotationAwaitingNodes: every node has to be verified with the cookie that it has.
	RotationAwaitingNodes RotationPhase = "AwaitingNodes"
	// RotationDistributingCookie: the cookie's Secret is given the new cookie, beside the
	// former one.
	RotationDistributingCookie RotationPhase = "DistributingCookie"
	// RotationChangingCookie: the probe has each node change its cookie, until all are
	// verified with the new one.
	RotationChangingCookie RotationPhase = "ChangingCookie"
	// RotationDroppingCookie: the former cookie leaves the Secret.
	RotationDroppingCookie RotationPhase = "DroppingCookie"
)
