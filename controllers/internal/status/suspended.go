package status

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// suspended tells that nothing is changed, and what that leaves half done.
func (p pass) suspended() (assessment, bool) {
	message := "The manager changes no object, and the probe changes no node, because suspend is true. Both report. Remove suspend to continue."
	if slices.ContainsFunc(p.Cluster.Status.Rotation, func(status v1alpha1.RotationStatus) bool {
		return status.Phase == v1alpha1.RotationDistributingCookie || status.Phase == v1alpha1.RotationChangingCookie
	}) {
		message += " The rotation of the cookie is half done: until it continues, a node that restarts has another cookie than the others, and programs in the pods may be refused."
	}
	return isTrue(v1alpha1.ReasonSuspended, message), p.Cluster.Spec.Suspend
}

// unlessSuspended is what is said of credentials, except that those that are not there yet are in
// progress: while the cluster is suspended the manager does not go on with them.
func (p pass) unlessSuspended(a assessment) assessment {
	if !p.Cluster.Spec.Suspend || a.status == metav1.ConditionTrue || a.reason != v1alpha1.ReasonProgressing {
		return a
	}
	return isFalse(v1alpha1.ReasonSuspended, a.message+" Nothing is done about it while suspend is true.")
}
