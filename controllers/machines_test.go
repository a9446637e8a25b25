package controllers

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"
)

// A machine that somebody has deleted registers again, and its pods are still there.
func TestReadinessChangesOfMachines(t *testing.T) {
	machine := func(ready corev1.ConditionStatus) *corev1.Node {
		return &corev1.Node{Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}}}
	}
	yes, no, unknown := machine(corev1.ConditionTrue), machine(corev1.ConditionFalse), machine(corev1.ConditionUnknown)
	changes := readinessChanges()
	for what, test := range map[string]struct{ want, got bool }{
		"created Ready":           {false, changes.Create(event.CreateEvent{Object: yes})},
		"created not Ready":       {true, changes.Create(event.CreateEvent{Object: unknown})},
		"lost":                    {true, changes.Update(event.UpdateEvent{ObjectOld: yes, ObjectNew: unknown})},
		"back":                    {true, changes.Update(event.UpdateEvent{ObjectOld: no, ObjectNew: yes})},
		"lost in another respect": {false, changes.Update(event.UpdateEvent{ObjectOld: no, ObjectNew: unknown})},
		"deleted":                 {true, changes.Delete(event.DeleteEvent{Object: no})},
	} {
		if test.got != test.want {
			t.Errorf("%s: a change: %t, want %t", what, test.got, test.want)
		}
	}
}
