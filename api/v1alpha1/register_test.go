package v1alpha1

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// An ErlangCluster controls what refers to it as the controller, in whatever version. The same kind of
// another group does not.
func TestControllerOf(t *testing.T) {
	for name, test := range map[string]struct {
		owner    metav1.OwnerReference
		controls bool
	}{
		"ours":            {metav1.OwnerReference{APIVersion: "erlang-operator.dev/v1alpha1", Kind: "ErlangCluster", Controller: ptr.To(true)}, true},
		"another version": {metav1.OwnerReference{APIVersion: "erlang-operator.dev/v1", Kind: "ErlangCluster", Controller: ptr.To(true)}, true},
		"another group":   {metav1.OwnerReference{APIVersion: "example.com/v1alpha1", Kind: "ErlangCluster", Controller: ptr.To(true)}, false},
		"another kind":    {metav1.OwnerReference{APIVersion: "erlang-operator.dev/v1alpha1", Kind: "Other", Controller: ptr.To(true)}, false},
		"an owner only":   {metav1.OwnerReference{APIVersion: "erlang-operator.dev/v1alpha1", Kind: "ErlangCluster"}, false},
	} {
		object := &metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{test.owner}}
		if got := ControllerOf(object); (got != nil) != test.controls {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
