// Package identity decides which Secret a pod mounts as its own when it is created. It is
// the MutatingAdmissionPolicy of config/admission in Go, for Kubernetes without such
// policies: both change the same pods in the same way.
package identity

import (
	"errors"

	corev1 "k8s.io/api/core/v1"

	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/beam"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
)

// A Change is the Secret that one of a pod's volumes gets.
type Change struct {
	Volume int
	Secret string
}

// ErrNameless is the answer to a pod that gets its name only after admission.
var ErrNameless = errors.New("the pod has the labels of a member of an ErlangCluster and no name, only generateName: its certificate is that of its name, so give it one, or remove the label erlang-operator.dev/component")

// Assign returns how to change a pod; nil for one that stays as it is.
func Assign(pod *corev1.Pod) (*Change, error) {
	volume := beam.Placeholder(pod.Spec)
	if !isMember(pod.Labels) || volume < 0 {
		return nil, nil
	}
	if pod.Name == "" {
		return nil, ErrNameless
	}
	return &Change{Volume: volume, Secret: naming.Names{}.Certificate(pod.Name)}, nil
}

func isMember(labels map[string]string) bool {
	_, inCluster := labels[plan.LabelCluster]
	return inCluster && labels[plan.LabelComponent] == plan.ComponentNode
}
