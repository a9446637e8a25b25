package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// RolloutSpec configures how a change of the template reaches the nodes. The operator
// replaces pods one by one, each when the one before has joined the mesh.
type RolloutSpec struct {
	// maxUnavailable is how many nodes may be away at a time: a number, or a percentage of
	// replicas, rounded down. At least one. If no pod of the former template can run, all are
	// replaced at once, whatever the number.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 && self <= 100 : self.matches('^([1-9][0-9]?|100)%$')",message="rollout.maxUnavailable must be a number from 1 to 100, or a percentage from 1% to 100%"
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`

	// paused keeps every pod as it is. Nodes that are created meanwhile get the former
	// template.
	// +optional
	Paused bool `json:"paused,omitempty"`

	// partition keeps the pods with lower ordinals as they are, as in a StatefulSet: with 2
	// of 3 replicas only the last pod gets the latest template.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Partition int32 `json:"partition,omitempty"`
}

// RolloutStatus is how far a rollout is.
type RolloutStatus struct {
	// updatedReplicas is the number of pods with the latest template.
	// +optional
	UpdatedReplicas int32 `json:"updatedReplicas"`

	// pod that is replaced next.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Pod string `json:"pod,omitempty"`

	// waitingFor is what keeps it from being replaced, or the rollout from its end, such as
	// "the node of pod chat-2 to be linked to the others".
	// +required
	// +kubebuilder:validation:MaxLength=1024
	WaitingFor string `json:"waitingFor"`

	// since is when this was first observed to be waited for.
	// +required
	Since metav1.Time `json:"since"`
}
