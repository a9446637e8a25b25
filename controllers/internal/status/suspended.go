package status

import (
	"slices"

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
