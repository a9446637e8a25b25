package status

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// An assessment is a condition without its type and its times.
type assessment struct {
	status  metav1.ConditionStatus
	reason  string
	message string
	// pending: nobody has to do anything, it only takes time.
	pending bool
}

func isTrue(reason, message string) assessment {
	return assessment{status: metav1.ConditionTrue, reason: reason, message: state.Shortened(message, maxMessage)}
}

// isFalse is for what somebody has to fix: it links to the runbook.
func isFalse(reason, message string) assessment { return isFalseWithin(maxMessage, reason, message) }

func isFalseWithin(limit int, reason, message string) assessment {
	runbook := " " + v1alpha1.RunbookURL + strings.ToLower(reason)
	return assessment{status: metav1.ConditionFalse, reason: reason, message: state.Shortened(message, limit-len(runbook)) + runbook}
}

func pending(reason, message string) assessment {
	return assessment{status: metav1.ConditionFalse, reason: reason, message: state.Shortened(message, maxMessage), pending: true}
}

// An assessedCondition is an assessment of one type of condition.
type assessedCondition struct {
	condition string
	assessment
}

// assess is all the conditions of the cluster. The first is Ready.
func (p pass) assess() []assessedCondition {
	dependents := []assessedCondition{
		{v1alpha1.ConditionCredentialsReady, p.unlessSuspended(p.credentials())},
		{v1alpha1.ConditionNodesReady, p.nodes()},
		{v1alpha1.ConditionMeshConnected, p.mesh()},
		{v1alpha1.ConditionMutualTLSEnforced, p.mutualTLS()},
	}
	ready := p.ready(dependents)
	all := append([]assessedCondition{{v1alpha1.ConditionReady, ready}}, dependents...)
	add := func(condition string, a assessment, present bool) {
		if present {
			a.status = metav1.ConditionTrue
			all = append(all, assessedCondition{condition, a})
		}
	}
	stalled, isStalled := p.stalled()
	add(v1alpha1.ConditionStalled, stalled, isStalled)
	progress, isReconciling := p.reconciling(ready)
	add(v1alpha1.ConditionReconciling, progress, isReconciling && !isStalled)
	for _, optional := range []struct {
		condition string
		assess    func() (assessment, bool)
	}{
		{v1alpha1.ConditionSuspended, p.suspended},
		{v1alpha1.ConditionRuntimeMismatch, p.wrongRuntime},
		{v1alpha1.ConditionSharedIssuer, p.sharedIssuer},
		{v1alpha1.ConditionClusterDomainMismatch, p.clusterDomain},
		{v1alpha1.ConditionCertificateExpiring, p.expiring},
		{v1alpha1.ConditionCertificateShortLived, p.shortLived},
		{v1alpha1.ConditionIssuerUnavailable, p.issuerUnavailable},
		{v1alpha1.ConditionFieldConflict, p.contested},
	} {
		a, present := optional.assess()
		add(optional.condition, a, present)
	}
	return all
}

// ready is derived: Stalled, or the first of its dependents that is not true, or else true.
func (p pass) ready(dependents []assessedCondition) assessment {
	if stalled, isStalled := p.stalled(); isStalled {
		return stalled
	}
	for _, dependent := range dependents {
		if dependent.status != metav1.ConditionTrue {
			dependent.status = metav1.ConditionFalse
			return dependent.assessment
		}
	}
	if p.Replicas() == 0 {
		return isTrue(v1alpha1.ReasonScaledToZero, "The spec asks for no nodes.")
	}
	return isTrue(v1alpha1.ReasonMeshVerified, fmt.Sprintf(
		"All %d nodes are verified from DNS to a remote call, and are one mesh over mutual TLS.", p.Replicas()))
}

// conditions gives the assessed conditions their times.
func (p pass) conditions(assessed []assessedCondition) []metav1.Condition {
	conditions := make([]metav1.Condition, 0, len(assessed))
	for _, a := range assessed {
		since := metav1.NewTime(p.Now.Truncate(1e9))
		if before := meta.FindStatusCondition(p.Cluster.Status.Conditions, a.condition); before != nil && before.Status == a.status {
			since = before.LastTransitionTime
		}
		conditions = append(conditions, metav1.Condition{
			Type: a.condition, Status: a.status, Reason: a.reason, Message: a.message,
			LastTransitionTime: since, ObservedGeneration: p.Cluster.Generation,
		})
	}
	return conditions
}

// stalled is what somebody has to fix before the rest can be done.
func (p pass) stalled() (assessment, bool) {
	if problems, _ := p.problems(); len(problems) > 0 {
		return isFalse(problems[0].Reason, messageOf(problems)), true
	}
	switch {
	case len(p.outcome.Conflicts) > 0:
		return p.nameConflict(), true
	case p.outcome.Rejected && strings.Contains(p.outcome.Err.Error(), "spec.ipFamilies"):
		return isFalse(v1alpha1.ReasonRejected, fmt.Sprintf("%v. Make the ErlangCluster again with a distribution.ipFamily that this Kubernetes has.", p.outcome.Err)), true
	case p.outcome.Rejected:
		return isFalse(v1alpha1.ReasonRejected, fmt.Sprintf("What the spec asks for could not be applied: %s. Fix the field that it names.", p.failure())), true
	}
	return assessment{}, false
}

// nameConflict has one command for all objects that are in the way, however long it is.
func (p pass) nameConflict() assessment {
	return isFalseWithin(maxCommand, v1alpha1.ReasonNameConflict, fmt.Sprintf(
		"Objects with names that this ErlangCluster needs exist and do not belong to it. If nothing else needs them, delete them with `kubectl delete --namespace=%s %s`. Otherwise give this ErlangCluster another name.",
		p.Names.Namespace, strings.Join(p.outcome.Conflicts, " ")))
}

// failure is why the plan was not applied as a whole.
func (p pass) failure() string { return repeatable(p.outcome.Err.Error()) }

// reconciling is what is in progress.
func (p pass) reconciling(ready assessment) (assessment, bool) {
	unserved, isUnserved := p.notServed()
	switch {
	case p.Cluster.Spec.Suspend:
		return assessment{}, false
	case p.outcome.Err != nil:
		return pending(v1alpha1.ReasonProgressing, fmt.Sprintf("The last reconciliation failed and is retried: %s.", p.failure())), true
	case len(p.plan.Holds) > 0:
		hold := p.plan.Holds[0]
		return pending(hold.Reason, sentence(hold.Message)), true
	case p.outcome.Ahead:
		return pending(v1alpha1.ReasonProgressing, "The StatefulSet was changed, and its controller has not been seen to act on that."), true
	case p.plan.Rollout.UnderWay():
		return pending(v1alpha1.ReasonRollingOut, fmt.Sprintf("%d of %d pods run the latest template. %s",
			p.plan.Rollout.Updated, p.Replicas(), sentence(p.plan.Rollout.String()))), true
	case ready.pending:
		return ready, true
	case isUnserved && unserved.pending:
		return unserved, true
	case p.surplus() > 0:
		return pending(v1alpha1.ReasonScalingDown, fmt.Sprintf("%d pods more than the spec asks for exist. They are removed one by one, the last first.%s", p.surplus(), p.heldSurplus())), true
	case p.Replicas() > 0 && p.Cluster.Status.Mesh != nil && p.Cluster.Status.Mesh.ObservedGeneration != p.Cluster.Generation:
		return pending(v1alpha1.ReasonProgressing, "The probe has not verified the mesh against the latest spec yet."), true
	}
	return assessment{}, false
}

// sharedIssuer warns of an issuer that others may have certificates of.
func (p pass) sharedIssuer() (assessment, bool) {
	ref := p.Cluster.Spec.TLS.IssuerRef
	if ref == nil {
		return assessment{}, false
	}
	return isTrue(v1alpha1.ReasonIssuerRefSet, fmt.Sprintf(
		"OTP checks the certificate chain of a connecting node, not its name: anyone who has a certificate of %s %q, or of another CA below the same root, and the cookie, can join the cluster. Use this issuer for this cluster alone, or remove tls.issuerRef to have a private CA",
		ref.Kind, ref.Name)), true
}

// clusterDomain warns that the nodes keep names under another domain than the manager's.
func (p pass) clusterDomain() (assessment, bool) {
	named, configured := p.Names.ClusterDomain(), p.ConfiguredDomain
	return isTrue(v1alpha1.ReasonClusterDomainMismatch, fmt.Sprintf(
		"The nodes are named under the DNS domain %s, and keep these names, although the manager runs with --cluster-domain=%s. Start the manager with --cluster-domain=%s, or, if the domain has really changed, create the cluster again.",
		named, configured, named)), named != configured
}
