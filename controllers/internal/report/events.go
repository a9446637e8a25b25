package report

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
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

func onItsWay(conditions []metav1.Condition) bool {
	return meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionReconciling)
}

// faulty says that credentials are not only awaited: what waits for them waits for a
// person.
func faulty(conditions []metav1.Condition, reason string) bool {
	credentials := meta.FindStatusCondition(conditions, v1alpha1.ConditionCredentialsReady)
	return credentials != nil && credentials.Reason == reason && strings.Contains(credentials.Message, v1alpha1.RunbookURL)
}
