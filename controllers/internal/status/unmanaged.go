package status

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// Undecodable is the report on a cluster whose spec cannot be decoded: nothing is known
// but its metadata and its previous status, and nothing is changed.
func Undecodable(cluster *v1alpha1.ErlangCluster, now time.Time, cause error) Report {
	return unmanaged(cluster, now, v1alpha1.ConditionStalled, v1alpha1.ReasonRejected,
		fmt.Sprintf("The ErlangCluster cannot be decoded, and is left as it is: %v. Fix that field.", cause))
}

// Terminating is the report on a cluster that is being deleted and that finalizers keep
// from being gone: its objects may be deleted already, and nothing is made again.
func Terminating(cluster *v1alpha1.ErlangCluster, now time.Time) Report {
	return unmanaged(cluster, now, v1alpha1.ConditionReconciling, v1alpha1.ReasonTerminating,
		fmt.Sprintf("The ErlangCluster is being deleted, and nothing of it is managed any more. It remains until its finalizers are removed: %s.", strings.Join(cluster.Finalizers, ", ")))
}

// unmanaged is the report on a cluster that is neither observed nor changed: it is not
// Ready, the cause is a condition of its own, and the others are unknown.
func unmanaged(cluster *v1alpha1.ErlangCluster, now time.Time, condition, reason, message string) Report {
	p := pass{State: state.State{Cluster: cluster, Now: now}}
	ready := isFalse(reason, message)
	assessed := []assessedCondition{
		{v1alpha1.ConditionReady, ready},
		{condition, isTrue(reason, ready.message)},
	}
	for _, dependent := range []string{v1alpha1.ConditionCredentialsReady, v1alpha1.ConditionNodesReady,
		v1alpha1.ConditionMeshConnected, v1alpha1.ConditionMutualTLSEnforced} {
		assessed = append(assessed, assessedCondition{dependent,
			assessment{status: metav1.ConditionUnknown, reason: reason, message: ready.message}})
	}
	status := *cluster.Status.DeepCopy()
	status.ObservedGeneration, status.Conditions, status.Mesh = cluster.Generation, p.conditions(assessed), nil
	if reason == v1alpha1.ReasonTerminating {
		status.Rollout = nil // No pod is replaced any more.
	}
	return Report{
		Status:  status,
		Changed: changed(cluster.Status, status),
		Events:  conditionEvents(cluster.Status.Conditions, assessed),
	}
}
