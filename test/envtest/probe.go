package envtest

import (
	"cmp"
	"context"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// A probe reports as the cluster's probe, with the permissions that the manager has
// granted.
type probe struct {
	namespace string
	cluster   string // "chat" when it is empty
	client    client.Client
}

// startProbe creates the probe's pod, which the namespace's Pod Security Standard must
// admit, and a client with its identity.
func startProbe(t *testing.T, namespace string) *probe {
	t.Helper()
	deployment := &appsv1.Deployment{ObjectMeta: named(namespace, "chat-probe")}
	eventually(t, "the probe's Deployment", func(ctx context.Context) error {
		return admin.Get(ctx, client.ObjectKeyFromObject(deployment), deployment)
	})
	pod := &corev1.Pod{ObjectMeta: *deployment.Spec.Template.ObjectMeta.DeepCopy(), Spec: *deployment.Spec.Template.Spec.DeepCopy()}
	pod.Namespace, pod.Name = namespace, "chat-probe-0"
	if err := admin.Create(t.Context(), pod); err != nil {
		t.Errorf("the probe's pod is not admitted: %v", err)
	}

	account := fmt.Sprintf("system:serviceaccount:%s:%s", namespace, deployment.Spec.Template.Spec.ServiceAccountName)
	config := must(configOf(account, "system:serviceaccounts", "system:serviceaccounts:"+namespace))(t)
	c := must(client.New(config, client.Options{Scheme: scheme}))(t)
	p := &probe{namespace: namespace, client: c}
	p.expectPermissions(t)
	p.confirm(t)
	return p
}

// confirm renews the Lease until the test ends.
func (p *probe) confirm(t *testing.T) {
	t.Helper()
	cluster := clusterIn(p.namespace)
	check(t, p.client.Get(t.Context(), client.ObjectKeyFromObject(cluster), cluster))
	lease := &coordinationv1.Lease{ObjectMeta: named(p.namespace, "chat-probe")}
	lease.Labels = map[string]string{v1alpha1.Group + "/cluster": "chat"}
	lease.OwnerReferences = []metav1.OwnerReference{{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "ErlangCluster",
		Name: cluster.Name, UID: cluster.UID, Controller: ptr.To(true)}}
	renew := func(ctx context.Context) error {
		now := metav1.NowMicro()
		lease.Spec.HolderIdentity, lease.Spec.AcquireTime, lease.Spec.RenewTime = ptr.To("chat-probe-0"), &now, &now
		return p.client.Update(ctx, lease)
	}
	check(t, renew(t.Context()))
	go func() {
		for t.Context().Err() == nil {
			if err := renew(t.Context()); err != nil {
				_ = p.client.Get(t.Context(), client.ObjectKeyFromObject(lease), lease) // It was changed, or the test has ended.
			}
			select {
			case <-t.Context().Done():
			case <-time.After(5 * time.Second):
			}
		}
	}()
}

// expectPermissions requires that the probe may read what it needs, and nothing else.
func (p *probe) expectPermissions(t *testing.T) {
	t.Helper()
	for _, object := range []client.Object{
		clusterIn(p.namespace),
		&corev1.Secret{ObjectMeta: named(p.namespace, "chat-cookie")},
		&corev1.Secret{ObjectMeta: named(p.namespace, "chat-probe-tls")},
		&corev1.Secret{ObjectMeta: named(p.namespace, "chat-probe-canary-tls")},
		&corev1.ConfigMap{ObjectMeta: named(p.namespace, "chat-distribution")},
		&coordinationv1.Lease{ObjectMeta: named(p.namespace, "chat-probe")},
	} {
		// A Role has effect once the API server's own watch has reported it.
		eventually(t, fmt.Sprintf("the probe may read %T %s", object, object.GetName()), func(ctx context.Context) error {
			return client.IgnoreNotFound(p.client.Get(ctx, client.ObjectKeyFromObject(object), object))
		})
	}
	for _, object := range []client.Object{
		&coordinationv1.Lease{ObjectMeta: named(p.namespace, "somebody-else")},
		&corev1.Secret{ObjectMeta: named(p.namespace, "chat-0-tls")},
		&corev1.Secret{ObjectMeta: named(p.namespace, "chat-ca")},
		&corev1.ConfigMap{ObjectMeta: named(p.namespace, "kube-root-ca.crt")},
		&corev1.Pod{ObjectMeta: named(p.namespace, "chat-0")},
		&v1alpha1.ErlangCluster{ObjectMeta: named(p.namespace, "somebody-else")},
	} {
		if err := p.client.Get(t.Context(), client.ObjectKeyFromObject(object), object); !apierrors.IsForbidden(err) {
			t.Errorf("the probe may read %T %s (%v)", object, object.GetName(), err)
		}
	}
	patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"of": "the-probe"}}}`))
	for what, err := range map[string]error{
		"list Secrets":             p.client.List(t.Context(), &corev1.SecretList{}, client.InNamespace(p.namespace)),
		"list pods":                p.client.List(t.Context(), &corev1.PodList{}, client.InNamespace(p.namespace)),
		"take any Lease":           p.client.Update(t.Context(), &coordinationv1.Lease{ObjectMeta: named(p.namespace, "any")}),
		"create ConfigMaps":        p.client.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: named(p.namespace, "any")}),
		"change the cookie":        p.client.Patch(t.Context(), &corev1.Secret{ObjectMeta: named(p.namespace, "chat-cookie")}, patch),
		"change the ErlangCluster": p.client.Patch(t.Context(), clusterIn(p.namespace), patch),
	} {
		if !apierrors.IsForbidden(err) {
			t.Errorf("the probe may %s (%v)", what, err)
		}
	}
}

// report writes the probe's part of the status.
func (p *probe) report(t *testing.T, mesh *v1alpha1.MeshStatus) {
	t.Helper()
	check(t, p.apply(t.Context(), mesh))
}

func (p *probe) apply(ctx context.Context, mesh *v1alpha1.MeshStatus) error {
	cluster := &v1alpha1.ErlangCluster{ObjectMeta: named(p.namespace, cmp.Or(p.cluster, "chat"))}
	status, err := cluster.ApplyStatus(&struct {
		Mesh *v1alpha1.MeshStatus `json:"mesh"`
	}{mesh})
	if err != nil {
		return err
	}
	return p.client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(status), client.FieldOwner(v1alpha1.ProbeFieldOwner), client.ForceOwnership)
}

// wholeMesh is what the probe reports of a mesh without faults.
func wholeMesh(namespace string, pods []*corev1.Pod) *v1alpha1.MeshStatus {
	count := int32(len(pods))
	mesh := &v1alpha1.MeshStatus{ObservedGeneration: 1, Components: 1, Links: count * (count - 1) / 2}
	for _, pod := range pods {
		mesh.Nodes = append(mesh.Nodes, v1alpha1.NodeStatus{
			Pod: pod.Name, Node: "chat@" + pod.Name + ".chat-nodes." + namespace + ".svc.cluster.local",
			Stage: v1alpha1.StageCall, Reason: v1alpha1.ReasonVerified, Message: "Verified.",
			OTPRelease: "27", Incarnation: 42, PodUID: string(pod.UID), StartedAt: pod.CreationTimestamp.DeepCopy(), Links: count - 1,
			Refusals: &v1alpha1.RefusalStatus{Incarnation: 42},
		})
	}
	return mesh
}
