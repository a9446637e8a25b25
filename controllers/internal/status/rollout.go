package status

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// rollout is how far the rollout of the latest template is, and since when; nil when none is
// under way.
func (p pass) rollout() *v1alpha1.RolloutStatus {
	step, before := p.plan.Rollout, p.Cluster.Status.Rollout
	if !step.UnderWay() {
		return nil
	}
	status := &v1alpha1.RolloutStatus{
		UpdatedReplicas: step.Updated, Pod: step.Next, WaitingFor: state.Shortened(step.WaitingFor, maxMessage),
		Since: metav1.NewTime(p.Now.Truncate(time.Second)),
	}
	if before != nil && before.Pod == status.Pod && before.WaitingFor == status.WaitingFor {
		status.Since = before.Since
	}
	return status
}
