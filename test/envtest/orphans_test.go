package envtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// Objects of every kind that are in the way are named at once, and once the command that
// the status has was run, nothing else is.
func TestAllThatIsInTheWayIsNamed(t *testing.T) {
	namespace := newNamespace(t)
	labels := &metav1.LabelSelector{MatchLabels: map[string]string{"of": "somebody"}}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels.MatchLabels},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "a"}}}}
	foreign := map[string]client.Object{
		"secret/chat-cookie":                                &corev1.Secret{},
		"service/chat-nodes":                                &corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}},
		"issuer.cert-manager.io/chat-ca":                    &certmanagerv1.Issuer{Spec: certmanagerv1.IssuerSpec{IssuerConfig: certmanagerv1.IssuerConfig{SelfSigned: &certmanagerv1.SelfSignedIssuer{}}}},
		"certificate.cert-manager.io/chat-1-tls":            &certmanagerv1.Certificate{Spec: certmanagerv1.CertificateSpec{CommonName: "a", SecretName: "a", IssuerRef: certmanagermeta.IssuerReference{Name: "none"}}},
		"secret/chat-1-tls":                                 &corev1.Secret{},
		"configmap/chat-distribution":                       &corev1.ConfigMap{},
		"statefulset.apps/chat":                             &appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{Selector: labels, Template: template}},
		"deployment.apps/chat-probe":                        &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Selector: labels, Template: template}},
		"serviceaccount/chat-probe":                         &corev1.ServiceAccount{},
		"role.rbac.authorization.k8s.io/chat-probe":         &rbacv1.Role{},
		"rolebinding.rbac.authorization.k8s.io/chat-probe":  &rbacv1.RoleBinding{RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "a"}},
		"networkpolicy.networking.k8s.io/chat-distribution": &networkingv1.NetworkPolicy{},
		"poddisruptionbudget.policy/chat":                   &policyv1.PodDisruptionBudget{},
	}
	for resource, object := range foreign {
		object.SetNamespace(namespace)
		object.SetName(resource[strings.Index(resource, "/")+1:])
		create(t, object)
	}
	startManager(t)
	create(t, object(t, namespace, minimal))
	stalled := awaitCondition(t, namespace, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonNameConflict)
	_, command, _ := strings.Cut(stalled.Message, "`kubectl delete --namespace="+namespace+" ")
	command, _, _ = strings.Cut(command, "`")
	named := strings.Fields(command)
	slices.Sort(named)
	want := make([]string, 0, len(foreign))
	for resource := range foreign {
		want = append(want, resource)
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, named); diff != "" {
		t.Errorf("in the way (-want +got):\n%s", diff)
	}
	for _, resource := range named {
		check(t, admin.Delete(t.Context(), foreign[resource]))
	}
	// cert-manager may request the certificate of the foreign Certificate only now.
	eventually(t, "the certificate of the node that had a foreign one", func(ctx context.Context) error {
		if err := collectRequests(ctx, namespace); err != nil {
			return err
		}
		_, err := storedCertificate(ctx, namespace, "chat-1-tls")
		return err
	})
	awaitRecovery(t, namespace)
}

// A cluster that is created again, after it was deleted with --cascade=orphan, adopts all
// that there is, and becomes Ready with the same pods, cookie, keys and certificates.
func TestOrphansAreAdopted(t *testing.T) {
	namespace := newNamespace(t)
	create(t, object(t, namespace, minimal))
	startManager(t)
	n, p := startNodes(t, namespace), startProbe(t, namespace)
	n.until(t, p, "at first", n.issuedBy("chat-ca", "chat-ca"))
	settle(t)
	cookie, before := cookieOf(t, namespace), identities(t, namespace)

	orphan(t, namespace)
	create(t, object(t, namespace, minimal))
	p.confirm(t)
	n.ready = false
	n.until(t, p, "again", n.issuedBy("chat-ca", "chat-ca"))
	if diff := cmp.Diff(before, identities(t, namespace)); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	if cookieOf(t, namespace) != cookie {
		t.Error("the cookie is another one")
	}
}

// identities are the UIDs of all that has the cluster's label.
func identities(t *testing.T, namespace string) map[string]types.UID {
	t.Helper()
	all := map[string]types.UID{}
	for _, list := range append(ownedLists(), &corev1.PodList{}) {
		check(t, admin.List(t.Context(), list, client.InNamespace(namespace), client.HasLabels{v1alpha1.Group + "/cluster"}))
		check(t, meta.EachListItem(list, func(item runtime.Object) error {
			object := item.(client.Object)
			all[fmt.Sprintf("%T %s", object, object.GetName())] = object.GetUID()
			return nil
		}))
	}
	return all
}

// orphan deletes a cluster with --cascade=orphan, and does what the garbage collector does
// then, which does not run here. The Lease goes, because it names the cluster.
func orphan(t *testing.T, namespace string) {
	t.Helper()
	cluster := get(t, clusterIn(namespace))
	check(t, admin.Delete(t.Context(), cluster, client.PropagationPolicy(metav1.DeletePropagationOrphan)))
	// Before the manager has seen that, it would make what is orphaned the cluster's again.
	awaitCondition(t, namespace, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonTerminating)
	for _, list := range ownedLists() {
		check(t, admin.List(t.Context(), list, client.InNamespace(namespace)))
		check(t, meta.EachListItem(list, func(item runtime.Object) error {
			object := item.(client.Object)
			patch := client.MergeFrom(object.DeepCopyObject().(client.Object))
			object.SetOwnerReferences(slices.DeleteFunc(object.GetOwnerReferences(), func(owner metav1.OwnerReference) bool { return owner.UID == cluster.UID }))
			return admin.Patch(t.Context(), object, patch)
		}))
	}
	check(t, admin.Delete(t.Context(), &coordinationv1.Lease{ObjectMeta: named(namespace, "chat-probe")}))
	check(t, admin.Patch(t.Context(), cluster, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))))
	eventually(t, "the cluster is gone", func(ctx context.Context) error {
		there, err := exists(ctx, clusterIn(namespace))
		if err == nil && there {
			err = fmt.Errorf("it is there")
		}
		return err
	})
}
