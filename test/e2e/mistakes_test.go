//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// What depends on other objects makes the cluster Stalled, with a message that names the
// field and the remedy. When that is applied, the cluster becomes Ready.
func TestStalledAndFixed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		extra, env, reason string
		contains           []string
		fix                func(t *testing.T, namespace string)
	}{
		"cookie": {
			extra: "cookie: {secretKeyRef: {name: mine, key: it}}", reason: v1alpha1.ReasonCookieSecretNotFound,
			contains: []string{"cookie.secretKeyRef", "mine", "Create it"},
			fix: func(t *testing.T, namespace string) {
				kubectl.Must(t, "create", "secret", "generic", "mine", "-n", namespace, "--from-literal=it=AnImportedCookie123")
			},
		},
		"issuer": {
			extra: "tls: {issuerRef: {name: corp}}", reason: v1alpha1.ReasonIssuerNotFound,
			contains: []string{"tls.issuerRef", "corp", "Create it"},
			fix:      func(t *testing.T, namespace string) { harness.CreateIssuer(t, namespace, "corp") },
		},
		"flags": {
			env: "        env: [{name: ERL_FLAGS, value: -proto_dist inet_tcp}]\n", reason: v1alpha1.ReasonRejected,
			contains: []string{"template.spec.containers[node].env[ERL_FLAGS]", "-proto_dist", "Remove it"},
			fix: func(t *testing.T, namespace string) {
				kubectl.MustApply(t, harness.Manifest(namespace, "chat", 2, "27"))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := harness.Cluster{Namespace: harness.Namespace(t), Name: "chat"}
			kubectl.MustApply(t, harness.Manifest(c.Namespace, c.Name, 2, "27", test.extra)+test.env)
			c.AwaitCondition(t, v1alpha1.ConditionStalled, metav1.ConditionTrue, test.reason, test.contains...)
			test.fix(t, c.Namespace)
			c.AwaitReady(t, 2)
		})
	}
}

// Why a pod cannot be created is told with the field and the remedy, in the words of this
// Kubernetes; when that is applied, the cluster becomes Ready.
func TestPodsThatCannotBeCreated(t *testing.T) {
	t.Parallel()
	t.Run("no ServiceAccount", func(t *testing.T) {
		t.Parallel()
		c := harness.Cluster{Namespace: harness.Namespace(t), Name: "chat"}
		kubectl.MustApply(t, harness.Manifest(c.Namespace, c.Name, 2, "27")+"      serviceAccountName: talk\n")
		c.AwaitCondition(t, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRejected,
			"Pod chat-0 cannot be created", `serviceaccount "talk" not found`, "Create ServiceAccount talk, or change template.spec.serviceAccountName.")
		kubectl.Must(t, "create", "serviceaccount", "talk", "-n", c.Namespace)
		// What docs/troubleshooting.md has against the delay of the next attempt.
		kubectl.Must(t, "annotate", "statefulset/chat", "-n", c.Namespace, "retried=now", "--overwrite")
		c.AwaitReady(t, 2)
	})
	t.Run("probe", func(t *testing.T) {
		t.Parallel()
		c := harness.Cluster{Namespace: harness.Namespace(t), Name: "chat"}
		limitMemory(t, c.Namespace, "127Mi")
		kubectl.MustApply(t, harness.Manifest(c.Namespace, c.Name, 2, "27"))
		await.Until(t, 3*time.Minute, "the cause", func(ctx context.Context) error {
			cluster, err := c.Read(ctx)
			if err != nil {
				return err
			}
			const cause, remedy = "maximum memory usage per Container is 127Mi", ". Change the LimitRange, or change spec.probe.resources. See `kubectl describe deployment chat-probe`"
			mesh := meta.FindStatusCondition(cluster.Status.Conditions, v1alpha1.ConditionMeshConnected)
			if mesh == nil || mesh.Reason != v1alpha1.ReasonProbeNotReporting || !strings.Contains(mesh.Message, cause) || !strings.Contains(mesh.Message, remedy) {
				err = fmt.Errorf("MeshConnected is %+v", mesh)
			}
			return err
		})
		limitMemory(t, c.Namespace, "256Mi")
		kubectl.Must(t, "annotate", "replicaset", "-l", v1alpha1.Group+"/component=probe", "-n", c.Namespace, "retried=now", "--overwrite")
		c.AwaitReady(t, 2)
	})
}

// limitMemory limits the memory of every container.
func limitMemory(t *testing.T, namespace, limit string) {
	t.Helper()
	kubectl.MustApply(t, fmt.Sprintf(`
apiVersion: v1
kind: LimitRange
metadata: {name: memory, namespace: %s}
spec: {limits: [{type: Container, max: {memory: %s}, default: {memory: %s}, defaultRequest: {memory: 32Mi}}]}
`, namespace, limit, limit))
}
