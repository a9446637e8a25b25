package status

import (
	"fmt"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// wrongRuntime warns of a node that is a release of another kind than spec.runtime is for.
func (p pass) wrongRuntime() (assessment, bool) {
	for _, pod := range p.Names.Pods(p.Replicas()) {
		if node := p.Node(pod); node != nil && node.Reason == v1alpha1.ReasonRuntimeMismatch {
			return isFalse(v1alpha1.ReasonRuntimeMismatch, fmt.Sprintf("Pod %s: %s", pod, sentence(node.Message))), true
		}
	}
	return assessment{}, false
}
