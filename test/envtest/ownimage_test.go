package envtest

import (
	"context"
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// The probes run the image of the manager's own pod, which an overlay or
// `kubectl set image` may have changed.
func TestProbesRunTheManagersImage(t *testing.T) {
	const image = "registry.example.com/mirror/erlang-operator:v2"
	template := managerDeployment(t).Spec.Template
	pod := &corev1.Pod{ObjectMeta: named("erlang-operator-system", "erlang-operator-manager-x"), Spec: template.Spec}
	container := &pod.Spec.Containers[0]
	container.Image = image
	create(t, pod)
	var environment []string
	for _, variable := range container.Env {
		if from := variable.ValueFrom; from != nil && from.FieldRef != nil {
			environment = append(environment, variable.Name+"="+map[string]string{
				"metadata.name": pod.Name, "metadata.namespace": pod.Namespace,
			}[from.FieldRef.FieldPath])
		}
	}

	kubeconfig := must(kubeconfigOf(managerAccount, "system:serviceaccounts", "system:serviceaccounts:erlang-operator-system"))(t)
	launchManager(t, kubeconfig, environment)
	namespace := newNamespace(t)
	create(t, object(t, namespace, minimal))
	eventually(t, "the probe runs the manager's image", func(ctx context.Context) error {
		probe, err := read(ctx, &appsv1.Deployment{ObjectMeta: named(namespace, "chat-probe")})
		if err != nil {
			return err
		}
		if got := probe.Spec.Template.Spec.Containers[0].Image; got != image {
			return fmt.Errorf("it runs %s", got)
		}
		return nil
	})
}

func managerDeployment(t *testing.T) *appsv1.Deployment {
	t.Helper()
	objects := must(objectsOf("config/manager/manager.yaml"))(t)
	for _, object := range objects {
		if object.GetKind() == "Deployment" {
			deployment := &appsv1.Deployment{}
			check(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, deployment))
			return deployment
		}
	}
	t.Fatal("config/manager/manager.yaml has no Deployment")
	return nil
}
