//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"
)

// releases of OTP that the members of a mixed cluster run, in turn.
var releases = []string{"25", "27", "29"}

// mixedNamespace is a namespace where the image of a member follows from its ordinal.
// A StatefulSet has one image for all its pods, so a policy of the test's own puts
// another in its place.
func mixedNamespace(t *testing.T) string {
	t.Helper()
	ns := namespace(t)
	if err := apply(t, fmt.Sprintf(`apiVersion: admissionregistration.k8s.io/v1
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
        "erlang-operator/erlang:" + ["25", "27", "29"][int(object.metadata.labels["apps.kubernetes.io/pod-index"]) %% 3]}]}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: %[1]s}
spec: {policyName: %[1]s}
`, ns)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		mustClean(t, "delete", "mutatingadmissionpolicybindings,mutatingadmissionpolicies", ns)
	})
	// The API server learns of a policy in its own time.
	eventually(t, time.Minute, "the policy is in force", func() error {
		image, err := kubectl(t.Context(), fmt.Sprintf(`{"apiVersion": "v1", "kind": "Pod",
			"metadata": {"name": "trial", "namespace": %q, "labels": {"apps.kubernetes.io/pod-index": "2"}},
			"spec": {"containers": [{"name": "node", "image": "erlang-operator/erlang:25"}]}}`, ns),
			"create", "--dry-run=server", "-f", "-", "-o", "jsonpath={.spec.containers[0].image}")
		if err != nil {
			return err
		}
		if image != "erlang-operator/erlang:29" {
			return fmt.Errorf("a pod of index 2 gets the image %s", image)
		}
		return nil
	})
	return ns
}

// startMixed makes a cluster of mixed releases of OTP, waits until it is proven, and
// sees that it is mixed.
func startMixed(t *testing.T, name string, replicas int, extra ...string) cluster {
	t.Helper()
	c := start(t, mixedNamespace(t), name, replicas, releases[0], extra...)
	read, err := c.read()
	if err != nil {
		t.Fatal(err)
	}
	for ordinal, node := range read.Status.Mesh.Nodes {
		if want := releases[ordinal%len(releases)]; node.Pod != c.pod(ordinal) || node.OTPRelease != want {
			t.Fatalf("%s runs OTP %s, want %s to run %s", node.Pod, node.OTPRelease, c.pod(ordinal), want)
		}
	}
	return c
}
