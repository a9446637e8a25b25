package plan

import (
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	applymeta "k8s.io/client-go/applyconfigurations/meta/v1"
	applypolicy "k8s.io/client-go/applyconfigurations/policy/v1"

	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// podDisruptionBudget keeps a drain from evicting more than one node at a time.
func podDisruptionBudget(s state.State) *applypolicy.PodDisruptionBudgetApplyConfiguration {
	return owned(applypolicy.PodDisruptionBudget(s.Names.PodDisruptionBudget(), s.Names.Namespace), s).
		WithSpec(applypolicy.PodDisruptionBudgetSpec().
			WithMaxUnavailable(intstr.FromInt32(1)).
			// A node that fails must not keep a machine from being drained.
			WithUnhealthyPodEvictionPolicy(policyv1.AlwaysAllow).
			WithSelector(applymeta.LabelSelector().WithMatchLabels(Selector(s.Names.Cluster, ComponentNode))))
}
