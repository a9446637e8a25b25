//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// policies of a namespace: every pod has a label, and the image of the operator comes from a
// mirror.
const policies = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: %[1]s}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %[1]s}}
  validations: [{expression: "has(object.metadata.labels) && 'team' in object.metadata.labels", message: the label team is required}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: %[1]s}
spec: {policyName: %[1]s, validationActions: [Deny]}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: %[1]s}
spec:
  reinvocationPolicy: Never
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %[1]s}}
    objectSelector: {matchLabels: {erlang-operator.dev/component: probe}}
  mutations:
  - patchType: JSONPatch
    jsonPatch: {expression: '[JSONPatch{op: "replace", path: "/spec/containers/0/image", value: "%[2]s"}]'}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: %[1]s}
spec: {policyName: %[1]s}
`

// A probe that is not admitted, finds no machine, or cannot pull its image: each is told with
// the field of spec.probe that helps, and with the last of them set the cluster is Ready,
// without a restart of a node.
func TestProbePodIsMadeToFit(t *testing.T) {
	t.Parallel()
	c := harness.Cluster{Namespace: harness.Namespace(t), Name: "chat"}
	machines := strings.Fields(kubectl.Must(t, "get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"))
	if len(machines) == 1 {
		t.Skip("with a taint on the only machine no other test could run")
	}
	machine := machines[len(machines)-1]
	registry := harness.MachineNamed(t, machine).Registry(t)
	kubectl.MustApply(t, fmt.Sprintf(policies, c.Namespace, registry.Image))
	for _, kind := range []string{"validating", "mutating"} {
		kubectl.Cleanup(t, "delete", kind+"admissionpolicy,"+kind+"admissionpolicybinding", c.Namespace)
	}
	awaitPolicies(t, c.Namespace, registry.Image)
	kubectl.Must(t, "taint", "node", machine, c.Namespace+"=test:NoSchedule")
	kubectl.Cleanup(t, "taint", "node", machine, c.Namespace+"-")
	manifest := harness.Manifest(c.Namespace, c.Name, 2, "27", "probe: {nodeSelector: {kubernetes.io/hostname: "+machine+"}}")
	kubectl.MustApply(t, strings.Replace(manifest, "  template:\n", "  template:\n    metadata: {labels: {team: red}}\n", 1))

	awaitProbeCause(t, c, "Its pod cannot be created: ", "the label team is required", "set what it asks for in spec.probe.labels")
	before := harness.Must(c.Restarts(t.Context(), 2))(t)
	c.Patch(t, `{"probe":{"labels":{"team":"red"}}}`)
	awaitProbeCause(t, c, "Its pod cannot be scheduled: ", "untolerated taint", "spec.probe.tolerations")
	c.Patch(t, `{"probe":{"tolerations":[{"key":%q,"operator":"Exists"}]}}`, c.Namespace)
	awaitProbeCause(t, c, "Its image cannot be pulled: ", "pull access denied", "name a Secret that has them in spec.probe.imagePullSecrets")
	c.Patch(t, `{"probe":{"imagePullSecrets":[{"name":"mirror"}]}}`)
	awaitProbeCause(t, c, "Its image cannot be pulled: ", "pull access denied", "imagePullSecrets: mirror. Create them in namespace "+c.Namespace)
	kubectl.Must(t, "create", "secret", "docker-registry", "mirror", "-n", c.Namespace,
		"--docker-server="+registry.Host, "--docker-username="+registry.User, "--docker-password="+registry.Password)
	kubectl.Must(t, "delete", "pod", "-n", c.Namespace, "-l", v1alpha1.Group+"/component=probe")
	c.AwaitReady(t, 2)
	c.CheckRestarts(t, 2, before)
}

// awaitPolicies waits until the policies of a namespace are in force.
func awaitPolicies(t *testing.T, namespace, image string) {
	t.Helper()
	try := func(ctx context.Context, labels string) (string, error) {
		return kubectl.RunWith(ctx, fmt.Sprintf(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "trial", "namespace": %q,
			"labels": {%s "erlang-operator.dev/component": "probe"}}, "spec": {"containers": [{"name": "probe", "image": "unknown"}]}}`, namespace, labels),
			"create", "--dry-run=server", "-f", "-", "-o", "jsonpath={.spec.containers[0].image}")
	}
	await.Until(t, time.Minute, "the policies are in force", func(ctx context.Context) error {
		if got, err := try(ctx, `"team": "red",`); err != nil || got != image {
			return fmt.Errorf("a pod of the probe gets the image %q: %w", got, err)
		}
		if _, err := try(ctx, ""); err == nil || !strings.Contains(err.Error(), "the label team is required") {
			return fmt.Errorf("without the label: %w", err)
		}
		return nil
	})
}

// awaitProbeCause waits until the cluster is not Ready because of its probe, for these causes.
func awaitProbeCause(t *testing.T, c harness.Cluster, says ...string) {
	t.Helper()
	await.Until(t, 4*time.Minute, says[0], func(ctx context.Context) error {
		cluster, err := c.Read(ctx)
		if err != nil {
			return err
		}
		ready := meta.FindStatusCondition(cluster.Status.Conditions, v1alpha1.ConditionReady)
		if ready == nil || ready.Reason != v1alpha1.ReasonProbeNotReporting {
			return fmt.Errorf("Ready is %+v", ready)
		}
		for _, want := range says {
			if !strings.Contains(ready.Message, want) {
				return fmt.Errorf("%q does not have %q", ready.Message, want)
			}
		}
		return nil
	})
}
