package envtest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// On a Kubernetes without PodCertificateRequests, as before 1.37, the manager starts, and
// clusters with tls.delivery PodCertificate are Stalled.
func TestKubernetesWithoutPodCertificates(t *testing.T) {
	c, kubeconfig := startAPIServer(t, "feature-gates", "PodCertificateRequest=false")
	check(t, c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "older"}}))
	check(t, c.Create(t.Context(), merged(t, object(t, "older", minimal), podCertificate)))
	startManagerWith(t, kubeconfig)
	eventually(t, "the cluster is Stalled", func(ctx context.Context) error {
		cluster := clusterIn("older")
		if err := c.Get(ctx, client.ObjectKeyFromObject(cluster), cluster); err != nil {
			return err
		}
		condition := meta.FindStatusCondition(cluster.Status.Conditions, v1alpha1.ConditionStalled)
		if condition == nil || condition.Reason != v1alpha1.ReasonPodCertificatesMissing {
			return fmt.Errorf("there are %s", summary(cluster))
		}
		if !strings.Contains(condition.Message, "tls.delivery") || !strings.Contains(condition.Message, "Kubernetes 1.37") {
			t.Errorf("it names no field, or not the version: %s", condition.Message)
		}
		return nil
	})
}

// On a Kubernetes without IPv6, nodes that are to use it are Stalled, with the field.
func TestKubernetesWithoutIPv6(t *testing.T) {
	namespace := newNamespace(t)
	startManager(t)
	create(t, merged(t, object(t, namespace, minimal), `spec: {distribution: {ipFamily: IPv6}}`))
	eventually(t, "the cluster is Stalled", func(ctx context.Context) error {
		cluster := clusterIn(namespace)
		if err := admin.Get(ctx, client.ObjectKeyFromObject(cluster), cluster); err != nil {
			return err
		}
		condition := meta.FindStatusCondition(cluster.Status.Conditions, v1alpha1.ConditionStalled)
		if condition == nil || !strings.Contains(condition.Message, "distribution.ipFamily") {
			return fmt.Errorf("there are %s", summary(cluster))
		}
		return nil
	})
}
