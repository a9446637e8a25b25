package status

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// Undecodable is the report on a cluster whose spec cannot be decoded: nothing is known
// but its metadata and its previous status, and nothing is changed.
func Undecodable(cluster *v1alpha1.ErlangCluster, now time.Time, cause error) Report {
	p := pass{State: state.State{Cluster: cluster, Now: now}}
	stalled := isFalse(v1alpha1.ReasonRejected, fmt.Sprintf("The ErlangCluster cannot be decoded, and is left as it is: %v. Fix that field.", cause))
	assessed := []assessedCondition{
		{v1alpha1.ConditionReady, stalled},
		{v1alpha1.ConditionStalled, isTrue(stalled.reason, stalled.message)},
	}
	for _, dependent := range []string{v1alpha1.ConditionCredentialsReady, v1alpha1.ConditionNodesReady,
		v1alpha1.ConditionMeshConnected, v1alpha1.ConditionMutualTLSEnforced} {
		assessed = append(assessed, assessedCondition{dependent,
			assessment{status: metav1.ConditionUnknown, reason: v1alpha1.ReasonRejected, message: "The spec cannot be decoded."}})
	}
	status := *cluster.Status.DeepCopy()
	status.ObservedGeneration, status.Conditions, status.Mesh = cluster.Generation, p.conditions(assessed), nil
	return Report{
		Status:  status,
		Changed: changed(cluster.Status, status),
		Events:  conditionEvents(cluster.Status.Conditions, assessed),
	}
}
