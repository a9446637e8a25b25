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
	// admissionPropagation is more than API servers take to bring a new policy or webhook
	// into effect.
	admissionPropagation = time.Minute
	// identityRetryInterval is how long a pod stays that was created without effect of it:
	// the next one would be created in the same way.
	identityRetryInterval = 5 * time.Minute
)

// notInForce is why pods would not get their own certificates, and what to do about it.
func notInForce(admission state.Admission) string {
	switch {
	case admission.Lacking == state.NotServed:
		return "this Kubernetes has no MutatingAdmissionPolicy (admissionregistration.k8s.io/v1), which gives each pod its own certificate. Install the operator with its webhook instead (config/webhook), or upgrade to Kubernetes 1.36 or later and restart the manager"
	case admission.Lacking == state.NoCABundle:
		return "the MutatingWebhookConfiguration erlang-operator-member-identity has no caBundle, so the API server cannot call the manager, which gives each pod its own certificate. cert-manager's cainjector sets it: check that it runs"
	case admission.By == state.ByWebhook:
		return "the MutatingWebhookConfiguration erlang-operator-member-identity, by which the manager gives each pod its own certificate, is not installed. Install the operator again (config/webhook)"
	default:
		return "the MutatingAdmissionPolicy and -Binding erlang-operator-member-identity, which give each pod its own certificate, are not installed. Install the operator again (config/default)"
	}
}

// withoutEffect is what to check when admission misses a pod. A manager of some namespaces
// cannot read whether its objects exist.
func withoutEffect(by state.PodIdentity) string {
	if by == state.ByWebhook {
		return "because the MutatingWebhookConfiguration erlang-operator-member-identity has no effect. Check that it exists, and was not changed"
	}
	return "because the MutatingAdmissionPolicy and -Binding erlang-operator-member-identity have no effect. Check that both exist, that neither was changed, and that the API server serves admissionregistration.k8s.io/v1 with the feature gate MutatingAdmissionPolicy"
}

// deletePodsWithoutIdentity has pods created again that admission did not give their
// certificates: at once if they are older than its policy or webhook. A pod that another than our
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
			p.problem(v1alpha1.ReasonPodIdentityMissing, fmt.Sprintf(
				"pod %s was created without its own certificate, %s, and install the operator again. The pod is replaced every %s",
				pod.Name, withoutEffect(s.Admission.By), identityRetryInterval))
		}
		if !ineffective || s.Now.Sub(pod.CreationTimestamp.Time) > identityRetryInterval {
			p.Delete = append(p.Delete, pod)
		}
	}
}

// isIneffective reports whether admission should have changed a pod that it did not change.
func isIneffective(s state.State, pod *corev1.Pod) bool {
	return pod.CreationTimestamp.After(s.Admission.Since.Add(admissionPropagation))
}
