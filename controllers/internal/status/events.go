package status

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// eventConditions are those whose changes are recorded as events.
var eventConditions = []string{
	v1alpha1.ConditionReady, v1alpha1.ConditionSuspended, v1alpha1.ConditionRuntimeMismatch, v1alpha1.ConditionSharedIssuer, v1alpha1.ConditionClusterDomainMismatch,
	v1alpha1.ConditionCertificateExpiring, v1alpha1.ConditionCertificateShortLived,
	v1alpha1.ConditionIssuerUnavailable, v1alpha1.ConditionFieldConflict,
}

// conditionEvents are the changes since the conditions before.
func conditionEvents(before []metav1.Condition, now []assessedCondition) []Event {
	var events []Event
	for _, a := range now {
		had := meta.FindStatusCondition(before, a.condition)
		if !slices.Contains(eventConditions, a.condition) || had != nil && had.Status == a.status && had.Reason == a.reason {
			continue
		}
		event := Event{Type: corev1.EventTypeWarning, Reason: a.reason, Message: state.Shortened(a.message, maxMessage)}
		if a.condition == v1alpha1.ConditionSuspended || a.condition == v1alpha1.ConditionReady && (a.status == metav1.ConditionTrue || inProgress(now)) {
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
