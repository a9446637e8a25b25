package envtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
)

// raised are clusters that are Ready, with all that cert-manager, Kubernetes and the probes make
// of them, and the heartbeats of their probes, which go on. Each has a name and a namespace of
// its own.
type raised struct {
	mutex    sync.Mutex
	clusters []types.NamespacedName
}

// raisedAtOnce is how many clusters are raised at a time.
const raisedAtOnce = 12

// to raises as many clusters of three nodes as there are not yet.
func (r *raised) to(t *testing.T, count int) {
	t.Helper()
	var clusters []*unstructured.Unstructured
	for range count - len(r.all()) {
		clusters = append(clusters, newCluster(t, 3))
	}
	ctx, waiting, failed := t.Context(), make(chan *unstructured.Unstructured), make(chan error, len(clusters))
	for range min(raisedAtOnce, len(clusters)) {
		go func() {
			for cluster := range waiting {
				failed <- r.raise(ctx, cluster)
			}
		}()
	}
	for _, cluster := range clusters {
		waiting <- cluster
	}
	close(waiting)
	for range clusters {
		check(t, <-failed)
	}
}

// newCluster is a cluster of a name of its own, which is not created yet.
func newCluster(t *testing.T, replicas int64) *unstructured.Unstructured {
	t.Helper()
	cluster := object(t, newNamespace(t), minimal)
	cluster.SetName("chat-of-" + cluster.GetNamespace())
	check(t, unstructured.SetNestedField(cluster.Object, replicas, "spec", "replicas"))
	return cluster
}

func (r *raised) all() []types.NamespacedName {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return slices.Clone(r.clusters)
}

// raise creates a cluster, and has it become Ready.
func (r *raised) raise(ctx context.Context, cluster *unstructured.Unstructured) error {
	if err := admin.Create(ctx, cluster); err != nil {
		return err
	}
	at := client.ObjectKeyFromObject(cluster)
	set, err := issueAll(ctx, at)
	if err != nil {
		return err
	}
	pods, err := runAll(ctx, set)
	if err != nil {
		return err
	}
	if err := reportMesh(ctx, cluster, pods); err != nil {
		return err
	}
	r.mutex.Lock()
	r.clusters = append(r.clusters, at)
	r.mutex.Unlock()
	return poll(ctx, at.Name+" is Ready", func() error {
		now, err := read(ctx, clusterAt(at))
		if err == nil && !meta.IsStatusConditionTrue(now.Status.Conditions, v1alpha1.ConditionReady) {
			err = errors.New(summary(now))
		}
		return err
	})
}

func clusterAt(at types.NamespacedName) *v1alpha1.ErlangCluster {
	return &v1alpha1.ErlangCluster{ObjectMeta: named(at.Namespace, at.Name)}
}

// issueAll issues the certificates of a cluster, until its StatefulSet has all replicas.
func issueAll(ctx context.Context, at types.NamespacedName) (*appsv1.StatefulSet, error) {
	issuing, set := signer{namespace: at.Namespace}, &appsv1.StatefulSet{ObjectMeta: named(at.Namespace, at.Name)}
	return set, poll(ctx, "the StatefulSet of "+at.Name, func() error {
		cluster, err := read(ctx, clusterAt(at))
		if err := errors.Join(err, issuing.sign(ctx)); err != nil {
			return err
		}
		if _, err := read(ctx, set); err != nil {
			return err
		}
		if want := cluster.Spec.DesiredReplicas(); *set.Spec.Replicas < want {
			return fmt.Errorf("it has %d of %d replicas", *set.Spec.Replicas, want)
		}
		_, err = read(ctx, &appsv1.Deployment{ObjectMeta: named(at.Namespace, at.Name+"-probe")})
		return err
	})
}

// runAll creates the pods of a cluster as Kubernetes' controllers would, and has them run as a
// kubelet would.
func runAll(ctx context.Context, set *appsv1.StatefulSet) (pods []*corev1.Pod, err error) {
	for ordinal := range int(*set.Spec.Replicas) {
		pods = append(pods, podOf(set, ordinal))
	}
	deployment, err := read(ctx, &appsv1.Deployment{ObjectMeta: named(set.Namespace, set.Name+"-probe")})
	if err != nil {
		return nil, err
	}
	probe := &corev1.Pod{ObjectMeta: *deployment.Spec.Template.ObjectMeta.DeepCopy(), Spec: *deployment.Spec.Template.Spec.DeepCopy()}
	probe.Namespace, probe.Name = set.Namespace, set.Name+"-probe-0"
	for _, pod := range append(slices.Clone(pods), probe) {
		if err := admin.Create(ctx, pod); err != nil {
			return nil, err
		}
		pod.Status = runningStatus(pod)
		if err := admin.Status().Update(ctx, pod); err != nil {
			return nil, err
		}
	}
	replicas := *set.Spec.Replicas
	set.Status = appsv1.StatefulSetStatus{
		ObservedGeneration: set.Generation, Replicas: replicas, ReadyReplicas: replicas, AvailableReplicas: replicas,
		CurrentReplicas: replicas, UpdatedReplicas: replicas, CurrentRevision: "chat-1", UpdateRevision: "chat-1",
	}
	return pods, admin.Status().Update(ctx, set)
}

// runningStatus is what a kubelet reports of a pod that runs.
func runningStatus(pod *corev1.Pod) corev1.PodStatus {
	now := metav1.Now()
	status := corev1.PodStatus{Phase: corev1.PodRunning, HostIP: "192.0.2.1", PodIP: "198.51.100.7", StartTime: &now,
		HostIPs: []corev1.HostIP{{IP: "192.0.2.1"}}, PodIPs: []corev1.PodIP{{IP: "198.51.100.7"}}, QOSClass: pod.Status.QOSClass}
	for _, kind := range []corev1.PodConditionType{corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.PodReady, corev1.ContainersReady, corev1.PodScheduled} {
		status.Conditions = append(status.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: now, ObservedGeneration: 1})
	}
	for _, container := range pod.Spec.Containers {
		status.ContainerStatuses = append(status.ContainerStatuses, corev1.ContainerStatus{
			Name: container.Name, Ready: true, Started: ptr.To(true), Image: container.Image, ImageID: container.Image + "@sha256:" + strings.Repeat("a", 64),
			ContainerID: "containerd://" + strings.Repeat("b", 64), State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}})
	}
	return status
}

// reportMesh writes what a probe does once its nodes are a mesh.
func reportMesh(ctx context.Context, cluster *unstructured.Unstructured, pods []*corev1.Pod) error {
	namespace, name := cluster.GetNamespace(), cluster.GetName()
	mesh := wholeMesh(namespace, pods)
	cookie, err := read(ctx, &corev1.Secret{ObjectMeta: named(namespace, name+"-cookie")})
	if err != nil {
		return err
	}
	mesh.CookieVersion = cookie.ResourceVersion
	for i := range mesh.Nodes {
		node := &mesh.Nodes[i]
		leaf, err := storedCertificate(ctx, namespace, node.Pod+"-tls")
		if err != nil {
			return err
		}
		node.Node = strings.ReplaceAll(node.Node, ".chat-nodes.", "."+name+"-nodes.")
		node.CertificateSerial = certs.Serial(leaf.X509)
		node.CertificateAuthority = certs.Identity(leaf.IssuingCA(certs.Trust{}))
		node.CertificateNotAfter = &metav1.Time{Time: leaf.X509.NotAfter}
	}
	lease := &coordinationv1.Lease{ObjectMeta: named(namespace, name+"-probe"), Spec: coordinationv1.LeaseSpec{
		HolderIdentity: ptr.To(name + "-probe-0"), AcquireTime: ptr.To(metav1.NowMicro()), RenewTime: ptr.To(metav1.NowMicro()), LeaseDurationSeconds: ptr.To[int32](15)}}
	lease.Labels = map[string]string{v1alpha1.Group + "/cluster": name}
	lease.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(cluster, v1alpha1.SchemeGroupVersion.WithKind("ErlangCluster"))}
	return errors.Join(admin.Create(ctx, lease), (&probe{namespace: namespace, cluster: name, client: admin}).apply(ctx, mesh))
}

// beat renews the Lease of each probe every five seconds, spread over them.
func (r *raised) beat(ctx context.Context) {
	const interval = 5 * time.Second
	for ctx.Err() == nil {
		all := r.all()
		for round := time.NewTicker(interval / time.Duration(max(1, len(all)))); len(all) > 0; all = all[1:] {
			at := all[0]
			go func() {
				patch := fmt.Sprintf(`{"spec":{"renewTime":%q}}`, time.Now().UTC().Format(metav1.RFC3339Micro))
				_ = admin.Patch(ctx, &coordinationv1.Lease{ObjectMeta: named(at.Namespace, at.Name+"-probe")}, client.RawPatch("application/merge-patch+json", []byte(patch)))
			}()
			<-round.C
		}
		if len(r.all()) == 0 {
			time.Sleep(interval)
		}
	}
}

// poll looks until there is no error, for two minutes.
func poll(ctx context.Context, what string, look func() error) error {
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		err := look()
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}
