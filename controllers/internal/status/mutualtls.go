package status

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// mutualTLS: every node refused what it must refuse.
func (p pass) mutualTLS() assessment {
	if lost, found := p.lostMachines(); found {
		lost.status = metav1.ConditionUnknown
		return lost
	}
	for _, pod := range p.Names.Pods(p.Replicas()) {
		node := p.Node(pod)
		switch {
		case node == nil || node.Refusals == nil || node.Refusals.Incarnation != node.Incarnation:
			return assessment{status: metav1.ConditionUnknown, reason: v1alpha1.ReasonAwaitingProof, pending: true,
				message: fmt.Sprintf("The refusal checks have not run on pod %s since it started.", pod)}
		case len(node.Refusals.Accepted) > 0:
			return isFalse(v1alpha1.ReasonMutualTLSNotEnforced, fmt.Sprintf(
				"Pod %s accepts connections that it must refuse (%s): anyone who reaches its distribution port may run code in it. Its image or its command overrides the TLS options of the operator; see the troubleshooting guide, MutualTLSNotEnforced.",
				pod, joinTrials(node.Refusals.Accepted)))
		}
	}
	return isTrue(v1alpha1.ReasonRefusalsProven, "Every node refuses a peer without certificate, with one of a foreign CA, in plaintext, or with a wrong cookie.")
}

func joinTrials(trials []v1alpha1.RefusalTrial) string {
	words := make([]string, 0, len(trials))
	for _, trial := range trials {
		words = append(words, string(trial))
	}
	return strings.Join(words, ", ")
}
