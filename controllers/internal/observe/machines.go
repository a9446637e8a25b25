package observe

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// machines reads which machines of the cluster's pods are not Ready. One that does not exist
// any more is none of them: Kubernetes deletes its pods.
func (o *Observer) machines(ctx context.Context, observed *state.State) error {
	if !o.ClusterWide {
		return nil
	}
	for _, pod := range slices.Concat(observed.Pods, observed.ProbePods) {
		if pod.Spec.NodeName == "" {
			continue
		}
		var machine corev1.Node
		err := o.Cached.Get(ctx, types.NamespacedName{Name: pod.Spec.NodeName}, &machine)
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("get node %s: %w", pod.Spec.NodeName, err)
		}
		if lost := NotReady(&machine); err == nil && lost != nil {
			observed.LostMachines[machine.Name] = state.LostMachine{Since: lost.LastTransitionTime.Time, Says: lost.Message}
		}
	}
	return nil
}

// NotReady is the condition of a machine that is not Ready; nil of one that is, or that has
// not reported yet.
func NotReady(machine *corev1.Node) *corev1.NodeCondition {
	at := slices.IndexFunc(machine.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == corev1.NodeReady })
	if at < 0 || machine.Status.Conditions[at].Status == corev1.ConditionTrue {
		return nil
	}
	return &machine.Status.Conditions[at]
}
