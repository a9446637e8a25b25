package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// managerContainer is the name of the manager's container in its own pod.
const managerContainer = "manager"

// OwnImage is the image that the manager runs, according to its own pod: whatever sets it
// there, be it an overlay, `kubectl set image` or an admission webhook that names a mirror,
// sets that of the probes too.
func OwnImage(ctx context.Context, live client.Reader, pod types.NamespacedName) (string, error) {
	const remedy = "set --probe-image to the image of this operator"
	if pod.Name == "" || pod.Namespace == "" {
		return "", fmt.Errorf("the probes' image is unknown, because POD_NAME and POD_NAMESPACE do not name the manager's own pod: %s", remedy)
	}
	var own corev1.Pod
	if err := live.Get(ctx, pod, &own); err != nil {
		return "", fmt.Errorf("get the manager's own pod, for the probes' image (%s if there is no such pod): %w", remedy, err)
	}
	for _, container := range own.Spec.Containers {
		if container.Name == managerContainer {
			return container.Image, nil
		}
	}
	return "", fmt.Errorf("the probes' image is unknown, because pod %s has no container %q: %s", pod, managerContainer, remedy)
}
