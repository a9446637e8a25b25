package controllers

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

func TestOwnImage(t *testing.T) {
	pod := func(name string, containers ...corev1.Container) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "erlang-operator-system", Name: name},
			Spec:       corev1.PodSpec{Containers: containers},
		}
	}
	live := fake.NewClientBuilder().WithObjects(
		pod("manager-a", corev1.Container{Name: "mesh", Image: "example.com/mesh:1"}, corev1.Container{Name: "manager", Image: "example.com/operator:2"}),
		pod("manager-b", corev1.Container{Name: "operator", Image: "example.com/operator:2"}),
	).Build()
	for name, test := range map[string]struct {
		pod       types.NamespacedName
		want      string
		complaint string
	}{
		"beside a sidecar": {pod: types.NamespacedName{Namespace: "erlang-operator-system", Name: "manager-a"}, want: "example.com/operator:2"},
		"by another name":  {pod: types.NamespacedName{Namespace: "erlang-operator-system", Name: "manager-b"}, complaint: `no container "manager"`},
		"in no such pod":   {pod: types.NamespacedName{Namespace: "erlang-operator-system", Name: "manager-c"}, complaint: "not found"},
		"outside of pods":  {complaint: "POD_NAME and POD_NAMESPACE"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := OwnImage(t.Context(), live, test.pod)
			if got != test.want {
				t.Errorf("the image is %q, want %q", got, test.want)
			}
			if test.complaint == "" && err != nil {
				t.Errorf("refused: %v", err)
			}
			if test.complaint != "" && (err == nil || !strings.Contains(err.Error(), test.complaint) || !strings.Contains(err.Error(), "--probe-image")) {
				t.Errorf("the error is %v, want it to say %q, and the remedy", err, test.complaint)
			}
		})
	}
}
