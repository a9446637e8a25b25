// Package rotation decides how the nodes of a cluster are taken from one CA to another,
// and from one cookie to another, while they run. It is pure: each step follows from what
// was observed in this pass, so that a manager that dies goes on where it was.
package rotation

import (
	"fmt"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// A Step is where a rotation is, and what the next one waits for.
type Step struct {
	Credential v1alpha1.RotatingCredential
	Phase      v1alpha1.RotationPhase
	// WaitingFor completes the sentence "waiting for …"; empty when nothing rotates.
	WaitingFor string
}

// Settled reports whether nothing rotates.
func (s Step) Settled() bool { return s.Phase == v1alpha1.RotationSettled }

// Reason of the condition Reconciling, and of the events of this rotation.
func (s Step) Reason() string {
	if s.Credential == v1alpha1.RotatingCA {
		return v1alpha1.ReasonRotatingCA
	}
	return v1alpha1.ReasonRotatingCookie
}

func (s Step) String() string {
	return fmt.Sprintf("%s rotation, %s: waiting for %s", s.Credential, s.Phase, s.WaitingFor)
}

// A condition is what ends a phase: it names what is missing, or nothing when the phase
// is over.
type condition struct {
	phase   v1alpha1.RotationPhase
	missing func() string
}

// next is the first phase that is not over.
func next(credential v1alpha1.RotatingCredential, phases ...condition) Step {
	for _, phase := range phases {
		if missing := phase.missing(); missing != "" {
			return Step{Credential: credential, Phase: phase.phase, WaitingFor: missing}
		}
	}
	return Step{Credential: credential, Phase: v1alpha1.RotationSettled}
}
