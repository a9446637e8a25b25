package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/beam"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

const (
	// policyPropagation is more than API servers take to bring a new policy into effect.
	policyPropagation = time.Minute
	// identityRetryInterval is how long a pod stays that was created without effect of the
	// policy: the next one would be created in the same way.
	identityRetryInterval = 5 * time.Minute
)

// deletePodsWithoutIdentity has pods created again that the admission policy did not give
// their certificates: at once if they are older than the policy. A pod that another than our
// StatefulSet made, as a copy of one for debugging, is left alone, whatever its labels.
func (p *Plan) deletePodsWithoutIdentity(s state.State) {
	reported := false
	pods := slices.SortedFunc(slices.Values(s.Pods), func(a, b corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	for i := range pods {
		pod := &pods[i]
		if !beam.LacksIdentity(pod.Spec) || pod.DeletionTimestamp != nil || s.StatefulSet == nil || !metav1.IsControlledBy(pod, s.StatefulSet) {
			continue
		}
		ineffective := isIneffective(s, pod)
		if ineffective && !reported {
			reported = true
			p.problem(v1alpha1.ReasonAdmissionPolicyMissing, fmt.Sprintf(
				"pod %s was created without its own certificate, although the MutatingAdmissionPolicy and -Binding erlang-operator-member-identity exist: they have no effect. Check that the API server serves admissionregistration.k8s.io/v1 with the feature gate MutatingAdmissionPolicy, and that neither was changed, and install the operator again. The pod is replaced every %s", pod.Name, identityRetryInterval))
		}
		if !ineffective || s.Now.Sub(pod.CreationTimestamp.Time) > identityRetryInterval {
			p.Delete = append(p.Delete, pod)
		}
	}
}

// isIneffective reports whether the admission policy should have changed a pod that it did
// not change.
func isIneffective(s state.State, pod *corev1.Pod) bool {
	return pod.CreationTimestamp.After(s.AdmissionPolicySince.Add(policyPropagation))
}
