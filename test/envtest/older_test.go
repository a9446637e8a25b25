package envtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// On a Kubernetes without PodCertificateRequests, as before 1.37, the manager starts,
// serves those who do not ask for them, and tells those who do.
func TestKubernetesWithoutPodCertificates(t *testing.T) {
	certManagerCRDs, err := moduleFile("github.com/cert-manager/cert-manager", "deploy/crds")
	if err != nil {
		t.Fatal(err)
	}
	older := &envtest.Environment{CRDInstallOptions: envtest.CRDInstallOptions{
		Paths:  []string{filepath.Join(repository(), "config/crd/bases"), certManagerCRDs},
		Scheme: scheme, ErrorIfPathMissing: true,
	}}
	older.ControlPlane.GetAPIServer().Configure().Append("feature-gates", "PodCertificateRequest=false")
	config, err := older.Start()
	t.Cleanup(func() {
		if err := older.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	user, err := older.AddUser(envtest.User{Name: "manager", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := user.KubeConfig()
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "older"}}); err != nil {
		t.Fatal(err)
	}
	if err := c.Create(t.Context(), merged(t, object(t, "older", minimal), asked)); err != nil {
		t.Fatal(err)
	}
	startManagerWith(t, kubeconfig)
	eventually(t, "the cluster is told", func(ctx context.Context) error {
		cluster := clusterIn("older")
		if err := c.Get(ctx, client.ObjectKeyFromObject(cluster), cluster); err != nil {
			return err
		}
		condition := meta.FindStatusCondition(cluster.Status.Conditions, v1alpha1.ConditionStalled)
		if condition == nil || condition.Reason != v1alpha1.ReasonPodCertificatesMissing {
			return fmt.Errorf("there are %s", summary(cluster))
		}
		if !strings.Contains(condition.Message, "tls.delivery") || !strings.Contains(condition.Message, "Kubernetes 1.37") {
			t.Errorf("it names no field, or no remedy: %s", condition.Message)
		}
		return nil
	})
}
