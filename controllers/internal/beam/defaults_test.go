package beam

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestPullPolicyOfAnImage(t *testing.T) {
	for image, want := range map[string]corev1.PullPolicy{
		"chat":                                 corev1.PullAlways,
		"chat:latest":                          corev1.PullAlways,
		"registry.example.com:5000/chat":       corev1.PullAlways,
		"registry.example.com:5000/chat:1":     corev1.PullIfNotPresent,
		"example.com/chat:1.4.2":               corev1.PullIfNotPresent,
		"example.com/chat@sha256:0123":         corev1.PullIfNotPresent,
		"example.com/chat:latest@sha256:01234": corev1.PullIfNotPresent,
	} {
		if got := pullPolicy(image); got != want {
			t.Errorf("%s: %s, want %s", image, got, want)
		}
	}
}
