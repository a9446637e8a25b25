package envtest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kstatus "sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// From a file of ten lines to a cluster that is ready, and then quiet.
func TestLifeOfACluster(t *testing.T) {
	namespace := newNamespace(t)
	create(t, object(t, namespace, minimal))
	expectStatus(t, namespace, kstatus.InProgressStatus, "nobody has looked at it")

	startManager(t)
	awaitCondition(t, namespace, v1alpha1.ConditionCredentialsReady, metav1.ConditionTrue, v1alpha1.ReasonCertificatesIssued)
	expectStatus(t, namespace, kstatus.InProgressStatus, "no pod is there")

	set := awaitStatefulSet(t, namespace, 3)
	pods := startPods(t, set, 0, 3)
	awaitCondition(t, namespace, v1alpha1.ConditionNodesReady, metav1.ConditionTrue, v1alpha1.ReasonPodsRunning)
	expectStatus(t, namespace, kstatus.InProgressStatus, "the probe has not reported")

	probe := startProbe(t, namespace)
	probe.says(t, wholeMesh(namespace, pods))
	awaitReady(t, namespace)
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

	t.Run("quiet", func(t *testing.T) { staysQuiet(t, namespace, probe, pods) })

	t.Run("a node fails", func(t *testing.T) {
		mesh := wholeMesh(namespace, pods)
		mesh.Nodes[1].Stage, mesh.Nodes[1].Reason, mesh.Nodes[1].Message = v1alpha1.StageHandshake, v1alpha1.ReasonCookieMismatch, "It has another cookie."
		probe.says(t, mesh)
		awaitCondition(t, namespace, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonCookieMismatch)
		expectStatus(t, namespace, kstatus.InProgressStatus, "a node fails")
		probe.says(t, wholeMesh(namespace, pods))
		awaitReady(t, namespace)
	})

	t.Run("scaled up and down", func(t *testing.T) {
		scale(t, namespace, 4)
		set := awaitStatefulSet(t, namespace, 4)
		all := append(slices.Clone(pods), startPods(t, set, 3, 4)...)
		mesh := wholeMesh(namespace, all)
		mesh.ObservedGeneration = get(t, clusterIn(namespace)).Generation
		probe.says(t, mesh)
		awaitReady(t, namespace)

		scale(t, namespace, 3)
		observeStatefulSet(t, awaitStatefulSet(t, namespace, 3))
		departing := named(namespace, "chat-3-tls")
		if there, err := exists(t.Context(), &corev1.Secret{ObjectMeta: departing}); err != nil || !there {
			t.Errorf("the Secret of the departing node is there: %t, %v: it must stay until its pod is gone", there, err)
		}
		if err := admin.Delete(t.Context(), all[3], client.GracePeriodSeconds(0)); err != nil {
			t.Fatal(err)
		}
		awaitGone(t, certificate(namespace, "chat-3-tls"), &corev1.Secret{ObjectMeta: departing})
		mesh = wholeMesh(namespace, pods)
		mesh.ObservedGeneration = get(t, clusterIn(namespace)).Generation
		probe.says(t, mesh)
		awaitReady(t, namespace)
	})
}

// staysQuiet: a cluster in which all is well costs the API server watches, and what
// its probe writes.
func staysQuiet(t *testing.T, namespace string, probe *probe, pods []*corev1.Pod) {
	settle(t)
	before := versions(t, namespace)
	listening := listenTo(t, managerAccount)
	beat := time.NewTicker(7 * time.Second)
	defer beat.Stop()
	for over := time.After(30 * time.Second); ; {
		select {
		case <-beat.C:
			probe.says(t, wholeMesh(namespace, pods))
			continue
		case <-over:
		}
		break
	}
	for _, r := range listening.heard(t) {
		t.Errorf("the manager asked: %s", r)
	}
	for object, version := range versions(t, namespace) {
		if before[object] != version {
			t.Errorf("%s changed", object)
		}
	}
}

// settle waits until the manager has asked nothing for a while.
func settle(t *testing.T) {
	t.Helper()
	const while = 3 * time.Second
	listening, quiet := listenTo(t, managerAccount), time.Now()
	eventually(t, "the manager settles", func(context.Context) error {
		if requests := listening.heard(t); len(requests) > 0 {
			quiet = time.Now()
			return fmt.Errorf("it asked: %s", requests[len(requests)-1])
		}
		if time.Since(quiet) < while {
			return fmt.Errorf("it asked %s ago", time.Since(quiet))
		}
		return nil
	})
}

// versions are the resourceVersions of all that the cluster owns.
func versions(t *testing.T, namespace string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, list := range ownedLists() {
		if err := admin.List(t.Context(), list, client.InNamespace(namespace), client.HasLabels{"erlang-operator.dev/cluster"}); err != nil {
			t.Fatal(err)
		}
		items, err := meta.ExtractList(list)
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range items {
			object := item.(client.Object)
			all[fmt.Sprintf("%T %s", object, object.GetName())] = object.GetResourceVersion()
		}
	}
	return all
}

func expectStatus(t *testing.T, namespace string, want kstatus.Status, because string) {
	t.Helper()
	if got := kstatusOf(t, namespace); got != want {
		t.Errorf("kstatus reads %s, want %s: %s; %s", got, want, because, summary(get(t, clusterIn(namespace))))
	}
}

func awaitReady(t *testing.T, namespace string) {
	t.Helper()
	awaitCondition(t, namespace, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonMeshVerified)
	eventually(t, "kstatus Current", func(context.Context) error {
		if got := kstatusOf(t, namespace); got != kstatus.CurrentStatus {
			return fmt.Errorf("it is %s: %s", got, summary(get(t, clusterIn(namespace))))
		}
		return nil
	})
}

func awaitStatefulSet(t *testing.T, namespace string, replicas int32) *appsv1.StatefulSet {
	t.Helper()
	set := &appsv1.StatefulSet{ObjectMeta: named(namespace, "chat")}
	eventually(t, fmt.Sprintf("a StatefulSet of %d", replicas), func(ctx context.Context) error {
		if err := admin.Get(ctx, client.ObjectKeyFromObject(set), set); err != nil {
			return fmt.Errorf("%w; conditions: %s", err, summary(get(t, clusterIn(namespace))))
		}
		if *set.Spec.Replicas != replicas {
			return fmt.Errorf("it has %d", *set.Spec.Replicas)
		}
		return nil
	})
	return set
}

// startPods makes the pods of a StatefulSet as its controller would, and lets them
// run as a kubelet would. The pods that the API server answers with are checked:
// each must have an identity of its own.
func startPods(t *testing.T, set *appsv1.StatefulSet, from, to int) []*corev1.Pod {
	t.Helper()
	var pods []*corev1.Pod
	for ordinal := from; ordinal < to; ordinal++ {
		pod := podOf(set, ordinal)
		if err := admin.Create(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
		expectIdentity(t, pod)
		pod.Status.Phase = corev1.PodRunning
		if err := admin.Status().Update(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
		pods = append(pods, pod)
	}
	observeStatefulSet(t, set)
	return pods
}

// podOf is the pod of an ordinal, as the StatefulSet controller would make it.
func podOf(set *appsv1.StatefulSet, ordinal int) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: *set.Spec.Template.ObjectMeta.DeepCopy(), Spec: *set.Spec.Template.Spec.DeepCopy()}
	pod.Namespace, pod.Name = set.Namespace, fmt.Sprintf("%s-%d", set.Name, ordinal)
	pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("StatefulSet"))}
	pod.Spec.Hostname, pod.Spec.Subdomain = pod.Name, set.Spec.ServiceName
	return pod
}

// observeStatefulSet says, as the StatefulSet controller would, that all of it is
// as wanted.
func observeStatefulSet(t *testing.T, set *appsv1.StatefulSet) {
	t.Helper()
	set = get(t, set)
	replicas := *set.Spec.Replicas
	set.Status = appsv1.StatefulSetStatus{
		ObservedGeneration: set.Generation, Replicas: replicas, CurrentReplicas: replicas, UpdatedReplicas: replicas,
		CurrentRevision: "chat-1", UpdateRevision: "chat-1",
	}
	if err := admin.Status().Update(t.Context(), set); err != nil {
		t.Fatal(err)
	}
}

// expectIdentity checks that a pod mounts its own key, and no other Secret.
func expectIdentity(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	var secrets []string
	for _, volume := range pod.Spec.Volumes {
		if volume.Secret != nil {
			secrets = append(secrets, volume.Secret.SecretName)
			if len(volume.Secret.Items) != 1 || volume.Secret.Items[0].Key != "tls-combined.pem" {
				t.Errorf("pod %s mounts %v of its Secret, want tls-combined.pem alone", pod.Name, volume.Secret.Items)
			}
		}
	}
	if want := []string{pod.Name + "-tls"}; !slices.Equal(secrets, want) {
		t.Errorf("pod %s mounts the Secrets %v, want %v", pod.Name, secrets, want)
	}
	if there, err := exists(t.Context(), &corev1.Secret{ObjectMeta: named(pod.Namespace, pod.Name+"-tls")}); err != nil || !there {
		t.Errorf("the Secret of pod %s is there: %t, %v", pod.Name, there, err)
	}
}

func scale(t *testing.T, namespace string, replicas int32) {
	t.Helper()
	cluster := get(t, clusterIn(namespace))
	patch := client.MergeFrom(cluster.DeepCopy())
	cluster.Spec.Replicas = &replicas
	if err := admin.Patch(t.Context(), cluster, patch); err != nil {
		t.Fatal(err)
	}
}

func awaitGone(t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		eventually(t, fmt.Sprintf("%T %s goes", object, object.GetName()), func(ctx context.Context) error {
			there, err := exists(ctx, object)
			if err == nil && there {
				err = fmt.Errorf("it is there")
			}
			return err
		})
	}
}

// A probe speaks as the cluster's probe, with the permissions that the manager gave
// it.
type probe struct {
	namespace string
	client    client.Client
}

// startProbe makes the probe's pod, which the namespace's Pod Security Standard
// must let through, and what it speaks with.
func startProbe(t *testing.T, namespace string) *probe {
	t.Helper()
	deployment := &appsv1.Deployment{ObjectMeta: named(namespace, "chat-probe")}
	eventually(t, "the probe's Deployment", func(ctx context.Context) error {
		return admin.Get(ctx, client.ObjectKeyFromObject(deployment), deployment)
	})
	pod := &corev1.Pod{ObjectMeta: *deployment.Spec.Template.ObjectMeta.DeepCopy(), Spec: *deployment.Spec.Template.Spec.DeepCopy()}
	pod.Namespace, pod.Name = namespace, "chat-probe-0"
	if err := admin.Create(t.Context(), pod); err != nil {
		t.Errorf("the probe's pod is not let in: %v", err)
	}

	account := fmt.Sprintf("system:serviceaccount:%s:%s", namespace, deployment.Spec.Template.Spec.ServiceAccountName)
	config, err := configOf(account, "system:serviceaccounts", "system:serviceaccounts:"+namespace)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	p := &probe{namespace: namespace, client: c}
	p.expectPermissions(t)
	return p
}

// expectPermissions: the probe may read what it needs, and nothing else.
func (p *probe) expectPermissions(t *testing.T) {
	t.Helper()
	for object, allowed := range map[client.Object]bool{
		clusterIn(p.namespace): true,
		&corev1.Secret{ObjectMeta: named(p.namespace, "chat-cookie")}:            true,
		&corev1.Secret{ObjectMeta: named(p.namespace, "chat-probe-tls")}:         true,
		&corev1.Secret{ObjectMeta: named(p.namespace, "chat-probe-canary-tls")}:  true,
		&corev1.ConfigMap{ObjectMeta: named(p.namespace, "chat-distribution")}:   true,
		&corev1.Secret{ObjectMeta: named(p.namespace, "chat-0-tls")}:             false,
		&corev1.Secret{ObjectMeta: named(p.namespace, "chat-ca")}:                false,
		&corev1.ConfigMap{ObjectMeta: named(p.namespace, "kube-root-ca.crt")}:    false,
		&corev1.Pod{ObjectMeta: named(p.namespace, "chat-0")}:                    false,
		&v1alpha1.ErlangCluster{ObjectMeta: named(p.namespace, "somebody-else")}: false,
	} {
		err := p.client.Get(t.Context(), client.ObjectKeyFromObject(object), object)
		if allowed && client.IgnoreNotFound(err) != nil {
			t.Errorf("the probe may not read %T %s: %v", object, object.GetName(), err)
		}
		if !allowed && !apierrors.IsForbidden(err) {
			t.Errorf("the probe may read %T %s (%v)", object, object.GetName(), err)
		}
	}
}

// says writes the probe's part of the status.
func (p *probe) says(t *testing.T, mesh *v1alpha1.MeshStatus) {
	t.Helper()
	cluster := &v1alpha1.ErlangCluster{ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: "chat"}}
	status, err := cluster.ApplyStatus(&struct {
		Mesh *v1alpha1.MeshStatus `json:"mesh"`
	}{mesh})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.client.Status().Apply(t.Context(), client.ApplyConfigurationFromUnstructured(status), client.FieldOwner("erlang-operator/probe"), client.ForceOwnership); err != nil {
		t.Fatalf("speak as the probe: %v", err)
	}
}

// wholeMesh is what the probe says when all is well.
func wholeMesh(namespace string, pods []*corev1.Pod) *v1alpha1.MeshStatus {
	count := int32(len(pods))
	mesh := &v1alpha1.MeshStatus{ObservedGeneration: 1, HeartbeatTime: metav1.Now(), Components: 1, Links: count * (count - 1) / 2}
	for _, pod := range pods {
		mesh.Nodes = append(mesh.Nodes, v1alpha1.NodeStatus{
			Pod: pod.Name, Node: "chat@" + pod.Name + ".chat-nodes." + namespace + ".svc.cluster.local",
			Stage: v1alpha1.StageCall, Reason: v1alpha1.ReasonVerified, Message: "Verified.",
			OTPRelease: "27", Incarnation: 42, StartedAt: pod.CreationTimestamp.DeepCopy(), Links: count - 1,
			Refusals: &v1alpha1.RefusalStatus{Incarnation: 42},
		})
	}
	return mesh
}
