package envtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	kstatus "sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// A minimal cluster becomes Ready and causes no requests then; it reports a failure, and is
// scaled up and down.
func TestLifeOfACluster(t *testing.T) {
	namespace := newNamespace(t)
	create(t, object(t, namespace, minimal))
	expectStatus(t, namespace, kstatus.InProgressStatus, "it has not been reconciled")

	startManager(t)
	awaitCondition(t, namespace, v1alpha1.ConditionCredentialsReady, metav1.ConditionTrue, v1alpha1.ReasonCertificatesIssued)
	expectStatus(t, namespace, kstatus.InProgressStatus, "no pod is there")

	set := awaitStatefulSet(t, namespace, 3)
	pods := startPods(t, set, 0, 3)
	awaitCondition(t, namespace, v1alpha1.ConditionNodesReady, metav1.ConditionTrue, v1alpha1.ReasonPodsReady)
	expectStatus(t, namespace, kstatus.InProgressStatus, "the probe has not reported")

	probe := startProbe(t, namespace)
	probe.becomeReady(t, pods)
	for _, pod := range pods {
		eventually(t, "the readiness gate of "+pod.Name, func(ctx context.Context) error {
			if err := admin.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
				return err
			}
			if !slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
				return c.Type == v1alpha1.ReadinessGate && c.Status == corev1.ConditionTrue
			}) {
				return fmt.Errorf("conditions are %v", pod.Status.Conditions)
			}
			return nil
		})
	}
	cluster := get(t, clusterIn(namespace))
	if cluster.Status.Nodes != "3/3" || cluster.Status.Links != "3/3" || cluster.Status.CertificatesExpire == "" || cluster.Status.Replicas != 3 {
		t.Errorf("status: %+v", cluster.Status)
	}

	t.Run("quiet", func(t *testing.T) { checkQuiet(t, namespace, probe) })

	t.Run("a node fails", func(t *testing.T) {
		mesh := must(servedMesh(t.Context(), namespace, pods))(t)
		mesh.Nodes[1].Stage, mesh.Nodes[1].Reason, mesh.Nodes[1].Message = v1alpha1.StageHandshake, v1alpha1.ReasonCookieMismatch, "It has another cookie."
		probe.report(t, mesh)
		awaitCondition(t, namespace, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonCookieMismatch)
		expectStatus(t, namespace, kstatus.InProgressStatus, "a node fails")
		probe.becomeReady(t, pods)
	})

	t.Run("scaled up and down", func(t *testing.T) {
		scale(t, namespace, 4)
		set := awaitStatefulSet(t, namespace, 4)
		all := append(slices.Clone(pods), startPods(t, set, 3, 4)...)
		probe.becomeReady(t, all)

		scale(t, namespace, 3)
		observeStatefulSet(t, awaitStatefulSet(t, namespace, 3))
		removed := named(namespace, "chat-3-tls")
		if there, err := exists(t.Context(), &corev1.Secret{ObjectMeta: removed}); err != nil || !there {
			t.Errorf("the Secret of the removed node is there: %t, %v: it must stay until its pod is gone", there, err)
		}
		if err := admin.Delete(t.Context(), all[3], client.GracePeriodSeconds(0)); err != nil {
			t.Fatal(err)
		}
		awaitGone(t, certificate(namespace, "chat-3-tls"), &corev1.Secret{ObjectMeta: removed})
		probe.becomeReady(t, pods)
	})
}

// checkQuiet requires that a cluster without faults costs the API server nothing but
// watches and the writes of its probe.
func checkQuiet(t *testing.T, namespace string, probe *probe) {
	settle(t)
	before, mesh := versions(t, namespace), get(t, clusterIn(namespace)).Status.Mesh
	log := requestsOf(t, managerAccount)
	beat := time.NewTicker(7 * time.Second)
	defer beat.Stop()
	for over := time.After(30 * time.Second); ; {
		select {
		case <-beat.C:
			probe.report(t, mesh)
			continue
		case <-over:
		}
		break
	}
	for _, r := range must(log.next())(t) {
		t.Errorf("the manager requested: %s", r)
	}
	for object, version := range versions(t, namespace) {
		if before[object] != version {
			t.Errorf("%s changed", object)
		}
	}
}

// A cluster that is being deleted is not Ready for as long as a finalizer keeps it, and
// nothing of it is made again.
func TestClusterKeptByAFinalizerIsNotReady(t *testing.T) {
	namespace := newNamespace(t)
	create(t, object(t, namespace, minimal))
	startManager(t)
	awaitCondition(t, namespace, v1alpha1.ConditionCredentialsReady, metav1.ConditionTrue, v1alpha1.ReasonCertificatesIssued)
	cluster := clusterIn(namespace)
	finalizers := func(list string) {
		t.Helper()
		if err := admin.Patch(t.Context(), cluster, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":`+list+`}}`))); err != nil {
			t.Fatal(err)
		}
	}
	finalizers(`["example.com/backup"]`)
	if err := admin.Delete(t.Context(), cluster); err != nil {
		t.Fatal(err)
	}
	awaitCondition(t, namespace, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonTerminating)
	finalizers(`[]`)
}

// A finalizer keeps a pod from when its kubelet has ended it: until then the kubelet does.
func TestPodKeptByAFinalizerIsNamedWhenItsKubeletIsDone(t *testing.T) {
	namespace := newNamespace(t)
	startManager(t)
	create(t, merged(t, object(t, namespace, minimal), `spec: {replicas: 1}`))
	set := awaitStatefulSet(t, namespace, 1)
	startProbe(t, namespace).becomeReady(t, startPods(t, set, 0, 1))

	kept := podOf(set, 1)
	kept.Spec.NodeName, kept.Finalizers = "worker-1", []string{"example.com/backup"}
	create(t, kept)
	check(t, admin.Delete(t.Context(), kept))
	settle(t)
	reconciling := awaitCondition(t, namespace, v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonScalingDown)
	if strings.Contains(reconciling.Message, "example.com/backup") {
		t.Errorf("while the kubelet ends the pod: %s", reconciling.Message)
	}
	check(t, admin.Delete(t.Context(), kept, client.GracePeriodSeconds(0))) // as the kubelet does
	awaitCondition(t, namespace, v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonScalingDown,
		"Pod chat-1 is terminating, and its finalizers keep it: example.com/backup.")
	check(t, admin.Patch(t.Context(), kept, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))))
}
