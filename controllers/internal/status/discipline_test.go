package status_test

import (
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// failer is what *testing.T and *rapid.T have in common.
type failer interface {
	Helper()
	Errorf(string, ...any)
}

// reasonForm is what the API server takes for a reason.
var reasonForm = regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$`)

// dependents are what Ready is derived from.
var dependents = []string{
	v1alpha1.ConditionCredentialsReady, v1alpha1.ConditionNodesReady,
	v1alpha1.ConditionMeshConnected, v1alpha1.ConditionMutualTLSEnforced,
}

// presentOnlyWhenTrue are the conditions whose absence is the good news.
var presentOnlyWhenTrue = []string{
	v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled, v1alpha1.ConditionSuspended, v1alpha1.ConditionSharedIssuer, v1alpha1.ConditionRuntimeMismatch, v1alpha1.ConditionClusterDomainMismatch, v1alpha1.ConditionCertificateExpiring,
	v1alpha1.ConditionCertificateShortLived,
	v1alpha1.ConditionIssuerUnavailable,
}

// checkDiscipline checks a status for what kstatus, and those who read conditions, rely on.
// It is called on each status that a test of this package computes.
func checkDiscipline(t failer, cluster *v1alpha1.ErlangCluster, status v1alpha1.ErlangClusterStatus) {
	t.Helper()
	conditions := status.Conditions
	if status.ObservedGeneration != cluster.Generation {
		t.Errorf("observedGeneration is %d, want %d", status.ObservedGeneration, cluster.Generation)
	}
	if status.Mesh != nil {
		t.Errorf("the manager's status has a mesh, which is the probe's to write")
	}
	seen := map[string]bool{}
	for _, c := range conditions {
		if seen[c.Type] {
			t.Errorf("condition %s is there twice", c.Type)
		}
		seen[c.Type] = true
		if c.ObservedGeneration != cluster.Generation {
			t.Errorf("%s: observedGeneration is %d, want %d", c.Type, c.ObservedGeneration, cluster.Generation)
		}
		if !reasonForm.MatchString(c.Reason) {
			t.Errorf("%s: %q is no reason", c.Type, c.Reason)
		}
		if c.Message == "" || len(c.Message) > 1024 && c.Reason != v1alpha1.ReasonNameConflict {
			t.Errorf("%s: a message of %d bytes", c.Type, len(c.Message))
		}
		if c.LastTransitionTime.IsZero() || c.LastTransitionTime.Nanosecond() != 0 {
			t.Errorf("%s: lastTransitionTime %s; the API server keeps whole seconds", c.Type, c.LastTransitionTime)
		}
		if slices.Contains(presentOnlyWhenTrue, c.Type) && c.Status != metav1.ConditionTrue {
			t.Errorf("%s is there and %s: it may be there only while true", c.Type, c.Status)
		}
		if c.Type == v1alpha1.ConditionReady && c.Status == metav1.ConditionUnknown {
			t.Errorf("Ready is Unknown: it is known not to be proven")
		}
	}
	if meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionReconciling) && meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionStalled) {
		t.Errorf("Reconciling and Stalled at once")
	}
	ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	if ready == nil {
		t.Errorf("there is no condition Ready")
		return
	}
	stalled := meta.FindStatusCondition(conditions, v1alpha1.ConditionStalled)
	if stalled != nil && (ready.Status != metav1.ConditionFalse || ready.Reason != stalled.Reason || ready.Message != stalled.Message) {
		t.Errorf("Stalled is %s (%s), but Ready is %s, %s (%s)", stalled.Reason, stalled.Message, ready.Status, ready.Reason, ready.Message)
	}
	allTrue := true
	for _, dependent := range dependents {
		c := meta.FindStatusCondition(conditions, dependent)
		if c == nil {
			t.Errorf("there is no condition %s", dependent)
			continue
		}
		if c.Status != metav1.ConditionTrue {
			if allTrue && stalled == nil && (ready.Reason != c.Reason || ready.Message != c.Message) {
				t.Errorf("Ready says %s (%s), but the first that is not true is %s: %s (%s)", ready.Reason, ready.Message, dependent, c.Reason, c.Message)
			}
			allTrue = false
		}
	}
	if want := allTrue && stalled == nil; want != (ready.Status == metav1.ConditionTrue) {
		t.Errorf("Ready is %s; all that it rests on is true: %t, stalled: %t", ready.Status, allTrue, stalled != nil)
	}
}
