// Package harness runs ErlangClusters for the end-to-end tests: it creates them, waits
// for them, looks into their nodes, rotates their credentials, and injects faults.
//
// What takes a testing.TB may end the test. What does not returns an error, and is for
// polls and goroutines as well.
package harness

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// Must gives a value to a test that cannot go on without it: Must(c.Cookie(ctx))(t).
func Must[V any](value V, err error) func(testing.TB) V {
	return func(t testing.TB) V {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// Manifest is an ErlangCluster of bare nodes. extra are further lines of its spec.
func Manifest(namespace, name string, replicas int, otp string, extra ...string) string {
	var lines strings.Builder
	for _, line := range extra {
		lines.WriteString("  " + line + "\n")
	}
	return fmt.Sprintf(`apiVersion: erlang-operator.dev/v1alpha1
kind: ErlangCluster
metadata:
  name: %s
  namespace: %s
spec:
  replicas: %d
%s  template:
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - name: node
        image: erlang:%s
        command: [erl, -noinput]
`, name, namespace, replicas, lines.String(), otp)
}

// Cluster is an ErlangCluster under test.
type Cluster struct{ Namespace, Name string }

// Start creates a cluster and waits until it is Ready.
func Start(t testing.TB, namespace, name string, replicas int, otp string, extra ...string) Cluster {
	t.Helper()
	return start(t, Cluster{namespace, name}, replicas, Manifest(namespace, name, replicas, otp, extra...))
}

func start(t testing.TB, c Cluster, replicas int, manifest string) Cluster {
	t.Helper()
	kubectl.MustApply(t, manifest)
	c.AwaitReady(t, replicas)
	return c
}

// StartMixed creates a cluster whose members run different releases of OTP, and waits
// until it is Ready.
func StartMixed(t testing.TB, name string, replicas int, extra ...string) Cluster {
	t.Helper()
	namespace := MixedNamespace(t)
	return startMixed(t, Cluster{namespace, name}, replicas, Manifest(namespace, name, replicas, releases[0], extra...))
}

// StartWatched is StartMixed, with nodes that write down which links go down: see LinksDown.
func StartWatched(t testing.TB, name string, replicas int) Cluster {
	t.Helper()
	namespace := MixedNamespace(t)
	return startMixed(t, Cluster{namespace, name}, replicas, watchingLinks(Manifest(namespace, name, replicas, releases[0])))
}

func startMixed(t testing.TB, c Cluster, replicas int, manifest string) Cluster {
	t.Helper()
	start(t, c, replicas, manifest)
	for ordinal, node := range Must(c.Read(t.Context()))(t).Status.Mesh.Nodes {
		if want := releases[ordinal%len(releases)]; node.Pod != c.Pod(ordinal) || node.OTPRelease != want {
			t.Fatalf("%s runs OTP %s, want %s to run %s", node.Pod, node.OTPRelease, c.Pod(ordinal), want)
		}
	}
	return c
}

// Read reads the ErlangCluster.
func (c Cluster) Read(ctx context.Context) (*v1alpha1.ErlangCluster, error) {
	var read v1alpha1.ErlangCluster
	return &read, kubectl.Get(ctx, &read, "erlangcluster", c.Name, "-n", c.Namespace)
}

// Mesh is what the probe has reported.
func (c Cluster) Mesh(ctx context.Context) (*v1alpha1.MeshStatus, error) {
	read, err := c.Read(ctx)
	if err == nil && (read.Status.Mesh == nil || len(read.Status.Mesh.Nodes) == 0) {
		err = fmt.Errorf("the probe has not reported")
	}
	return read.Status.Mesh, err
}

// ProbeLease is who has confirmed the last report, and when.
func (c Cluster) ProbeLease(ctx context.Context) (holder string, renewed time.Time, err error) {
	var lease coordinationv1.Lease
	if err := kubectl.Get(ctx, &lease, "lease", c.Name+"-probe", "-n", c.Namespace); err != nil {
		return "", time.Time{}, err
	}
	return ptr.Deref(lease.Spec.HolderIdentity, ""), ptr.Deref(lease.Spec.RenewTime, metav1.MicroTime{}).Time, nil
}

// Condition is a condition of the latest generation.
func (c Cluster) Condition(ctx context.Context, name string) (metav1.Condition, error) {
	read, err := c.Read(ctx)
	if err != nil {
		return metav1.Condition{}, err
	}
	condition := meta.FindStatusCondition(read.Status.Conditions, name)
	if condition == nil || condition.ObservedGeneration != read.Generation {
		return metav1.Condition{}, fmt.Errorf("no condition %s for generation %d", name, read.Generation)
	}
	return *condition, nil
}

// AwaitReady waits until the cluster is Ready with that many nodes, all of them linked,
// and is not Reconciling.
func (c Cluster) AwaitReady(t testing.TB, replicas int) {
	t.Helper()
	await.Until(t, 6*time.Minute, fmt.Sprintf("%s is Ready with %d nodes", c.Name, replicas), func(ctx context.Context) error {
		read, err := c.Read(ctx)
		if err != nil {
			return err
		}
		ready := meta.FindStatusCondition(read.Status.Conditions, v1alpha1.ConditionReady)
		switch {
		case ready == nil || ready.Status != metav1.ConditionTrue || ready.ObservedGeneration != read.Generation:
			return fmt.Errorf("condition Ready is %+v", ready)
		case meta.IsStatusConditionTrue(read.Status.Conditions, v1alpha1.ConditionReconciling):
			return fmt.Errorf("still reconciling: %+v", meta.FindStatusCondition(read.Status.Conditions, v1alpha1.ConditionReconciling))
		}
		nodes, links := fmt.Sprintf("%d/%d", replicas, replicas), fmt.Sprintf("%[1]d/%[1]d", replicas*(replicas-1)/2)
		if read.Status.Nodes != nodes || read.Status.Links != links {
			return fmt.Errorf("NODES %s LINKS %s, want %s and %s", read.Status.Nodes, read.Status.Links, nodes, links)
		}
		return nil
	})
}

// AwaitCondition waits until a condition has a status and a reason, and a message that
// contains these texts, and returns it.
func (c Cluster) AwaitCondition(t testing.TB, name string, status metav1.ConditionStatus, reason string, contains ...string) metav1.Condition {
	t.Helper()
	var condition metav1.Condition
	await.Until(t, 4*time.Minute, fmt.Sprintf("%s of %s is %s, %s", name, c.Name, status, reason), func(ctx context.Context) (err error) {
		if condition, err = c.Condition(ctx, name); err != nil {
			return err
		}
		if condition.Status != status || condition.Reason != reason {
			return fmt.Errorf("it is %s, %s: %s", condition.Status, condition.Reason, condition.Message)
		}
		for _, want := range contains {
			if !strings.Contains(condition.Message, want) {
				return fmt.Errorf("the message does not contain %q: %s", want, condition.Message)
			}
		}
		return nil
	})
	t.Logf("%s: %s", name, condition.Message)
	return condition
}

// Pod is the name of a member's pod.
func (c Cluster) Pod(ordinal int) string { return fmt.Sprintf("%s-%d", c.Name, ordinal) }

// Node is the name of a member's node.
func (c Cluster) Node(ordinal int) string {
	return fmt.Sprintf("%s@%s.%s-nodes.%s.svc.cluster.local", c.Name, c.Pod(ordinal), c.Name, c.Namespace)
}

// PodUID distinguishes a pod from others of the same name.
func (c Cluster) PodUID(ctx context.Context, ordinal int) (string, error) {
	return kubectl.Run(ctx, "get", "pod", c.Pod(ordinal), "-n", c.Namespace, "-o", "jsonpath={.metadata.uid}")
}

// Scale sets the number of members by the scale subresource.
func (c Cluster) Scale(t testing.TB, replicas int) {
	t.Helper()
	kubectl.Must(t, "scale", "erlangcluster", c.Name, "-n", c.Namespace, fmt.Sprintf("--replicas=%d", replicas))
}

// Patch merges a change into the spec.
func (c Cluster) Patch(t testing.TB, spec string, args ...any) {
	t.Helper()
	kubectl.Must(t, "patch", "erlangcluster", c.Name, "-n", c.Namespace, "--type=merge", "-p", `{"spec":`+fmt.Sprintf(spec, args...)+`}`)
}

// OwnedKinds are the kinds of object that a cluster owns, directly or not.
const OwnedKinds = "statefulsets,deployments,replicasets,pods,services,configmaps,secrets,serviceaccounts,roles,rolebindings," +
	"networkpolicies,poddisruptionbudgets,certificates,certificaterequests,issuers,leases"

// Objects lists the objects of some kinds that belong to the cluster, by name.
func (c Cluster) Objects(ctx context.Context, kinds string) ([]string, error) {
	out, err := kubectl.Run(ctx, "get", kinds, "-n", c.Namespace, "-o", "name")
	var names []string
	for _, name := range strings.Fields(out) {
		_, object, _ := strings.Cut(name, "/")
		if object == c.Name || strings.HasPrefix(object, c.Name+"-") {
			names = append(names, name)
		}
	}
	return names, err
}

// NothingLeft returns an error as long as the cluster has objects of these kinds.
func (c Cluster) NothingLeft(ctx context.Context, kinds string) error {
	left, err := c.Objects(ctx, kinds)
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("left: %v", left)
	}
	return err
}
