package status

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/rotation"
)

// events tells what changed: Ready, for better or worse or for another reason, and
// what somebody has to mend.
func events(had, has []metav1.Condition) []Event {
	var events []Event
	for _, condition := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionSharedIssuer,
		v1alpha1.ConditionCertificateExpiring, v1alpha1.ConditionCertificateShortLived} {
		before, now := meta.FindStatusCondition(had, condition), meta.FindStatusCondition(has, condition)
		if now == nil || before != nil && before.Status == now.Status && before.Reason == now.Reason {
			continue
		}
		event := Event{Type: corev1.EventTypeWarning, Reason: now.Reason, Message: now.Message}
		if condition == v1alpha1.ConditionReady && (now.Status == metav1.ConditionTrue || onItsWay(has) && !faulty(has, now.Reason)) {
			event.Type = corev1.EventTypeNormal
		}
		events = append(events, event)
	}
	return events
}

// rotations tells which began, why, and which are over.
func (v view) rotations(has []v1alpha1.RotatingCredential) []Event {
	var events []Event
	for _, hold := range v.plan.Holds {
		credential, rotates := rotatingOf(hold)
		if !rotates || slices.Contains(v.Cluster.Status.Rotating, credential) {
			continue
		}
		why := ""
		if signing := rotation.Signing(v.State); credential == v1alpha1.RotatingCA && v.outlived(signing.Name) {
			why = fmt.Sprintf("The time of the private CA %s is nearly up, and %s takes its place. ", signing.Name, rotation.Wanted(v.State).Name)
		}
		events = append(events, Event{Type: corev1.EventTypeNormal, Reason: hold.Reason, Message: why + capitalized(sentence(hold.Message))})
	}
	over := map[v1alpha1.RotatingCredential]string{
		v1alpha1.RotatingCA:     fmt.Sprintf("The rotation of the CA is over: certificates are by %s.", rotation.Signing(v.State).Name),
		v1alpha1.RotatingCookie: "The rotation of the cookie is over.",
	}
	for _, credential := range v.Cluster.Status.Rotating {
		if !slices.Contains(has, credential) {
			events = append(events, Event{Type: corev1.EventTypeNormal, Reason: reasonOf(credential), Message: over[credential]})
		}
	}
	return events
}

// outlived says that a private CA is there whose time is nearly up.
func (v view) outlived(ca string) bool {
	at, known := rotation.SuccessorDue(v.State, ca)
	return known && !v.Now.Before(at) && rotation.Wanted(v.State).Name != ca
}

func onItsWay(conditions []metav1.Condition) bool {
	return meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionReconciling)
}

// faulty says that credentials are not only awaited: what waits for them waits for a
// person.
func faulty(conditions []metav1.Condition, reason string) bool {
	credentials := meta.FindStatusCondition(conditions, v1alpha1.ConditionCredentialsReady)
	return credentials != nil && credentials.Reason == reason && strings.Contains(credentials.Message, v1alpha1.RunbookURL)
}
