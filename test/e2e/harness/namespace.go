package harness

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// Namespace creates a namespace for one test, and deletes it afterwards. When the test
// has failed, its log shows what was in there. The name is random, so what an
// interrupted run left behind does no harm.
func Namespace(t testing.TB) string {
	t.Helper()
	test := strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(strings.TrimPrefix(t.Name(), "Test")))
	name := fmt.Sprintf("e2e-%s-%s", test, strings.ToLower(rand.Text()[:5]))
	kubectl.Must(t, "create", "namespace", name)
	kubectl.Cleanup(t, "delete", "namespace", name, "--timeout=5m")
	t.Cleanup(func() {
		if t.Failed() {
			describe(t, name)
		}
	})
	return name
}

func describe(t testing.TB, namespace string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, show := range [][]string{
		{"get", "erlangclusters,pods,certificates,statefulsets,deployments", "-o", "wide"},
		{"describe", "erlangclusters"},
		{"get", "events", "--sort-by=.lastTimestamp"},
	} {
		out, _ := kubectl.Run(ctx, append(show, "-n", namespace)...)
		t.Logf("%s:\n%s", strings.Join(show, " "), out)
	}
}

// releases of OTP that the members of a mixed cluster run, in turn.
var releases = []string{"25", "27", "29"}

// MixedNamespace creates a namespace where the image of a member depends on its
// ordinal. A StatefulSet has one image for all its pods, so an admission policy of the
// test replaces it.
func MixedNamespace(t testing.TB) string {
	t.Helper()
	namespace := Namespace(t)
	kubectl.MustApply(t, fmt.Sprintf(`apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: %[1]s}
spec:
  failurePolicy: Fail
  reinvocationPolicy: Never
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %[1]s}}
    objectSelector: {matchExpressions: [{key: apps.kubernetes.io/pod-index, operator: Exists}]}
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: >-
        Object{spec: Object.spec{containers: [Object.spec.containers{name: "node", image:
        "erlang:" + ["25", "27", "29"][int(object.metadata.labels["apps.kubernetes.io/pod-index"]) %% 3]}]}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: %[1]s}
spec: {policyName: %[1]s}
`, namespace))
	kubectl.Cleanup(t, "delete", "mutatingadmissionpolicybindings,mutatingadmissionpolicies", namespace)
	await.Until(t, time.Minute, "the admission policy is in force", func(ctx context.Context) error {
		image, err := kubectl.RunWith(ctx, fmt.Sprintf(`{"apiVersion": "v1", "kind": "Pod",
			"metadata": {"name": "trial", "namespace": %q, "labels": {"apps.kubernetes.io/pod-index": "2"}},
			"spec": {"containers": [{"name": "node", "image": "erlang:25"}]}}`, namespace),
			"create", "--dry-run=server", "-f", "-", "-o", "jsonpath={.spec.containers[0].image}")
		if err != nil {
			return err
		}
		if image != "erlang:29" {
			return fmt.Errorf("a pod of index 2 gets the image %s", image)
		}
		return nil
	})
	return namespace
}

// Claims are the lines of a spec that give each member a volume of its own.
func Claims(namespace, cluster string) []string {
	return []string{
		"volumeClaimTemplates:",
		"- metadata: {name: data}",
		fmt.Sprintf("  spec: {accessModes: [ReadWriteOnce], storageClassName: %s-%s, resources: {requests: {storage: 1Mi}}}", namespace, cluster),
	}
}

// PersistentVolumes creates volumes that the claims of a cluster can bind to.
func PersistentVolumes(t testing.TB, namespace, cluster string, count int) {
	t.Helper()
	class := namespace + "-" + cluster
	for i := range count {
		name := fmt.Sprintf("%s-%d", class, i)
		kubectl.MustApply(t, fmt.Sprintf(`apiVersion: v1
kind: PersistentVolume
metadata: {name: %[1]s}
spec:
  capacity: {storage: 1Mi}
  accessModes: [ReadWriteOnce]
  storageClassName: %[2]s
  persistentVolumeReclaimPolicy: Retain
  hostPath: {path: /tmp/%[1]s, type: DirectoryOrCreate}
`, name, class))
		// The claim keeps it until the namespace is deleted, which happens last.
		kubectl.Cleanup(t, "delete", "persistentvolume", name, "--wait=false")
	}
}

// HasIPv6 reports whether nodes, and so pods, have IPv6 addresses.
func HasIPv6(t testing.TB) bool {
	t.Helper()
	return strings.Contains(kubectl.Must(t, "get", "nodes", "-o", "jsonpath={.items[0].status.addresses[*].address}"), ":")
}

// LocalVolumes creates volumes for claims without a class, each a directory in dir.
func LocalVolumes(t testing.TB, dir, namespace string, claims ...string) {
	t.Helper()
	OneMachine(t)
	for _, claim := range claims {
		path := filepath.Join(dir, claim)
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		kubectl.MustApply(t, fmt.Sprintf(`apiVersion: v1
kind: PersistentVolume
metadata: {name: %[1]s-%[2]s}
spec:
  capacity: {storage: 10Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  claimRef: {namespace: %[1]s, name: %[2]s}
  local: {path: %[3]s}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: Exists}]}]}}
`, namespace, claim, path))
		kubectl.Cleanup(t, "delete", "persistentvolume", namespace+"-"+claim, "--wait=false")
	}
}
