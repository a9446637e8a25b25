package status

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/rotation"
)

// eventConditions are those whose changes are recorded as events.
var eventConditions = []string{
	v1alpha1.ConditionReady, v1alpha1.ConditionSharedIssuer,
	v1alpha1.ConditionCertificateExpiring, v1alpha1.ConditionCertificateShortLived,
}

// conditionEvents are the changes since the conditions before.
func conditionEvents(before []metav1.Condition, now []assessedCondition) []Event {
	var events []Event
	for _, a := range now {
		had := meta.FindStatusCondition(before, a.condition)
		if !slices.Contains(eventConditions, a.condition) || had != nil && had.Status == a.status && had.Reason == a.reason {
			continue
		}
		event := Event{Type: corev1.EventTypeWarning, Reason: a.reason, Message: a.message}
		if a.condition == v1alpha1.ConditionReady && (a.status == metav1.ConditionTrue || inProgress(now)) {
			event.Type = corev1.EventTypeNormal
		}
		events = append(events, event)
	}
	return events
}

// inProgress reports whether the cluster will become Ready without anybody's help: it is
// Reconciling, and does not wait for credentials that somebody has to fix.
func inProgress(assessed []assessedCondition) bool {
	reconciling := false
	for _, a := range assessed {
		if a.condition == v1alpha1.ConditionCredentialsReady && a.status == metav1.ConditionFalse && !a.pending {
			return false
		}
		reconciling = reconciling || a.condition == v1alpha1.ConditionReconciling
	}
	return reconciling
}

// rotationEvents are which rotations began, and why, and which have ended.
func (p pass) rotationEvents(has []v1alpha1.RotatingCredential) []Event {
	var events []Event
	for _, hold := range p.plan.Holds {
		credential, rotates := rotatingOf(hold)
		if !rotates || slices.Contains(p.Cluster.Status.Rotating, credential) {
			continue
		}
		why := ""
		if signing := rotation.Signing(p.State); credential == v1alpha1.RotatingCA && p.outlived(signing.Name) {
			why = fmt.Sprintf("The private CA %s is near the end of its life, and %s replaces it. ", signing.Name, rotation.Wanted(p.State).Name)
		}
		events = append(events, Event{Type: corev1.EventTypeNormal, Reason: hold.Reason, Message: why + capitalized(sentence(hold.Message))})
	}
	ended := map[v1alpha1.RotatingCredential]string{
		v1alpha1.RotatingCA:     fmt.Sprintf("The rotation of the CA is complete: %s signs the certificates.", rotation.Signing(p.State).Name),
		v1alpha1.RotatingCookie: "The rotation of the cookie is complete.",
	}
	for _, credential := range p.Cluster.Status.Rotating {
		if !slices.Contains(has, credential) {
			events = append(events, Event{Type: corev1.EventTypeNormal, Reason: reasonOf(credential), Message: ended[credential]})
		}
	}
	return events
}

// outlived reports whether a private CA has reached the time of its replacement.
func (p pass) outlived(ca string) bool {
	at, known := rotation.SuccessorDue(p.State, ca)
	return known && !p.Now.Before(at) && rotation.Wanted(p.State).Name != ca
}
