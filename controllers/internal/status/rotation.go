package status

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/rotation"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// rotations are how far each rotation is, and since when. None begins or ends while the
// cluster is suspended.
func (p pass) rotations() []v1alpha1.RotationStatus {
	if p.Cluster.Spec.Suspend {
		return p.Cluster.Status.Rotation
	}
	var all []v1alpha1.RotationStatus
	for _, step := range p.plan.Rotations {
		status := v1alpha1.RotationStatus{
			Credential: step.Credential, Phase: step.Phase, WaitingFor: state.Shortened(step.WaitingFor, maxMessage),
			Since: metav1.NewTime(p.Now.Truncate(time.Second)),
		}
		if before, found := rotationOf(p.Cluster.Status.Rotation, step.Credential); found && before.Phase == step.Phase {
			status.Since = before.Since
		}
		all = append(all, status)
	}
	return all
}

func rotationOf(all []v1alpha1.RotationStatus, credential v1alpha1.RotatingCredential) (v1alpha1.RotationStatus, bool) {
	at := slices.IndexFunc(all, func(status v1alpha1.RotationStatus) bool { return status.Credential == credential })
	if at < 0 {
		return v1alpha1.RotationStatus{}, false
	}
	return all[at], true
}

// rotationEvents are which rotations began, and why, and which have ended.
func (p pass) rotationEvents(has []v1alpha1.RotationStatus) []Event {
	var events []Event
	for _, step := range p.plan.Rotations {
		_, rotates := rotationOf(has, step.Credential)
		if _, began := rotationOf(p.Cluster.Status.Rotation, step.Credential); rotates && !began {
			events = append(events, rotationEvent(step, p.whyRotated(step)+sentence(step.String())))
		}
	}
	ended := map[v1alpha1.RotatingCredential]string{
		v1alpha1.RotatingCA:     fmt.Sprintf("The rotation of the CA is complete: %s signs the certificates.", rotation.Signing(p.State).Name),
		v1alpha1.RotatingCookie: "The rotation of the cookie is complete.",
	}
	for _, before := range p.Cluster.Status.Rotation {
		if _, rotates := rotationOf(has, before.Credential); !rotates {
			events = append(events, rotationEvent(rotation.Step{Credential: before.Credential}, ended[before.Credential]))
		}
	}
	return events
}

func rotationEvent(step rotation.Step, message string) Event {
	return Event{Type: corev1.EventTypeNormal, Reason: step.Reason(), Message: state.Shortened(message, maxMessage)}
}

// whyRotated is the cause of a rotation that nobody has requested.
func (p pass) whyRotated(step rotation.Step) string {
	signing, wanted := rotation.Signing(p.State).Name, rotation.Wanted(p.State).Name
	due, known := rotation.SuccessorDue(p.State, signing)
	switch {
	case step.Credential != v1alpha1.RotatingCA || signing == wanted:
		return ""
	case rotation.Lost(p.State, signing):
		return fmt.Sprintf("The private CA %s has another key than the one that signed certificates: its Secret was deleted or replaced. %s takes its place. ", signing, wanted)
	case known && !p.Now.Before(due):
		return fmt.Sprintf("The private CA %s is near the end of its life, and %s replaces it. ", signing, wanted)
	}
	return ""
}
