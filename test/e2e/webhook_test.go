//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

const system = "--namespace=erlang-operator-system"

// With config/webhook, and without the policy, a cluster becomes Ready. While the API server
// cannot call the webhook, a pod that goes is not created again, which the status says; and
// while no manager runs, none is created either. When the webhook is back, the pod is back.
// `make test-webhook` installs config/webhook for it.
func TestIdentityByWebhook(t *testing.T) {
	kubectl.Must(t, "delete", "--ignore-not-found", "mutatingadmissionpolicies,mutatingadmissionpolicybindings", "erlang-operator-member-identity")
	c := harness.Start(t, harness.Namespace(t), "chat", 3, "27")
	c.AwaitReady(t, 3)

	t.Run("nothing answers at its port", func(t *testing.T) {
		restore := callAt(t, 444)
		awaitUnanswered(t, c)
		kubectl.Must(t, "delete", "pod", c.Pod(1), "-n", c.Namespace)
		c.AwaitCondition(t, v1alpha1.ConditionNodesReady, metav1.ConditionFalse, v1alpha1.ReasonPodsPending,
			c.Pod(1), "member-identity.erlang-operator.dev", "cannot call the webhook of the manager")
		expectNoPod(t, c, 1)
		restore()
		c.AwaitReady(t, 3)
	})
	t.Run("no manager runs", func(t *testing.T) {
		scale := func(replicas int) []string {
			return []string{"scale", "deployment/erlang-operator-manager", system, fmt.Sprintf("--replicas=%d", replicas)}
		}
		kubectl.Cleanup(t, scale(2)...)
		kubectl.Must(t, scale(0)...)
		awaitUnanswered(t, c)
		kubectl.Must(t, "delete", "pod", c.Pod(2), "-n", c.Namespace)
		await.Until(t, time.Minute, "the creation of the pod fails", func(ctx context.Context) error {
			events, err := kubectl.Run(ctx, "get", "events", "-n", c.Namespace, "--field-selector=reason=FailedCreate", "-o", "jsonpath={.items[*].message}")
			if err == nil && !strings.Contains(events, "Create Pod "+c.Pod(2)) {
				return fmt.Errorf("the events are: %s", events)
			}
			return err
		})
		expectNoPod(t, c, 2)
		kubectl.Must(t, scale(2)...)
		c.AwaitReady(t, 3)
	})
}

// callAt has the API server call the webhook at another port of its Service. Without a Service
// it would go on using the connection that it has.
func callAt(t *testing.T, port int) (restore func()) {
	t.Helper()
	set := func(port int) []string {
		return []string{"patch", "mutatingwebhookconfiguration", "erlang-operator-member-identity", "--type=json",
			"-p", fmt.Sprintf(`[{"op":"add","path":"/webhooks/0/clientConfig/service/port","value":%d}]`, port)}
	}
	kubectl.Cleanup(t, set(443)...)
	kubectl.Must(t, set(port)...)
	return func() { kubectl.Must(t, set(443)...) }
}

// awaitUnanswered waits until the API server would refuse a member.
func awaitUnanswered(t *testing.T, c harness.Cluster) {
	t.Helper()
	pod := fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: trial, namespace: %s, labels: {erlang-operator.dev/cluster: trial, erlang-operator.dev/component: node}},
 spec: {containers: [{name: x, image: x}], volumes: [{name: erlang-operator-tls, secret: {secretName: erlang-operator-admission-policy-missing}}]}}`, c.Namespace)
	await.Until(t, time.Minute, "members are refused", func(ctx context.Context) error {
		_, err := kubectl.RunWith(ctx, pod, "create", "--dry-run=server", "-f", "-")
		if err == nil {
			return errors.New("one would be created")
		}
		if !strings.Contains(err.Error(), `failed calling webhook "member-identity.erlang-operator.dev"`) {
			return err
		}
		return nil
	})
}

// expectNoPod requires that a pod does not exist, not even one that cannot start.
func expectNoPod(t *testing.T, c harness.Cluster, ordinal int) {
	t.Helper()
	var pods corev1.PodList
	if err := kubectl.Get(t.Context(), &pods, "pods", "-n", c.Namespace, "--field-selector=metadata.name="+c.Pod(ordinal)); err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) > 0 && pods.Items[0].DeletionTimestamp == nil {
		t.Errorf("%s was created: %s", c.Pod(ordinal), pods.Items[0].Spec.Volumes)
	}
}
