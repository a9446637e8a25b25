package statetest

import (
	"crypto/x509"
	"fmt"
	"maps"
	"strings"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/certstest"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

func (s Situation) addPods(observed *state.State) {
	if s.StatefulSet != nil {
		set := &appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{Replicas: &s.StatefulSet.Replicas}}
		set.Spec.Template.Spec.Volumes = []corev1.Volume{identityVolume(s.StatefulSet.Delivery, "erlang-operator-admission-policy-missing")}
		own(observed, set, "StatefulSet", observed.Names.StatefulSet())
		observed.StatefulSet = set
	}
	for _, pod := range s.Pods {
		observed.Pods = append(observed.Pods, pod.object(observed))
	}
}

func podUID(name string) types.UID { return types.UID("uid-of-pod-" + name) }

func (p Pod) object(observed *state.State) corev1.Pod {
	object := corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: p.Name, Namespace: observed.Names.Namespace,
		UID: podUID(p.Name), ResourceVersion: "7",
		CreationTimestamp: metav1.NewTime(certstest.Start.Add(time.Hour)),
	}}
	if set := observed.StatefulSet; set != nil || p.Former {
		if p.Former {
			set = &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: observed.Names.StatefulSet(), UID: "uid-of-the-former"}}
		}
		object.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(set, gvkOf("StatefulSet"))}
	}
	secret := observed.Names.Certificate(p.Name)
	if p.WithoutIdentity {
		secret = "erlang-operator-admission-policy-missing"
	}
	object.Spec.Volumes = []corev1.Volume{identityVolume(p.Delivery, secret)}
	object.Status.Phase = p.Phase
	if p.Phase == "" {
		object.Status.Phase = corev1.PodRunning
		object.Status.Conditions = []corev1.PodCondition{
			{Type: corev1.ContainersReady, Status: corev1.ConditionTrue}, {Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
	if p.Leaving {
		object.DeletionTimestamp = &metav1.Time{Time: Now}
	}
	return object
}

// issuedBy notes the issuer as cert-manager does.
func issuedBy(secret *corev1.Secret, issuer v1alpha1.IssuerReference) {
	maps.Copy(secret.Annotations, map[string]string{
		certmanager.IssuerNameAnnotationKey:  issuer.Name,
		certmanager.IssuerKindAnnotationKey:  issuer.Kind,
		certmanager.IssuerGroupAnnotationKey: issuer.Group,
	})
}

// identityVolume is the volume that a node has its certificate in.
func identityVolume(delivery v1alpha1.CertificateDelivery, secret string) corev1.Volume {
	volume := corev1.Volume{Name: naming.TLSVolume}
	if delivery == v1alpha1.DeliveryPodCertificate {
		volume.Projected = &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{
			PodCertificate: &corev1.PodCertificateProjection{SignerName: certs.SignerName}}}}
	} else {
		volume.Secret = &corev1.SecretVolumeSource{SecretName: secret}
	}
	return volume
}

func (i Issued) edit(certificate *x509.Certificate) {
	if i.NotAfter != nil {
		certificate.NotAfter = i.NotAfter.Time
	}
}

// own makes an object the cluster's, as the API server would show it.
func own(observed *state.State, object state.Object, kind, name string) {
	object.GetObjectKind().SetGroupVersionKind(gvkOf(kind))
	object.SetName(name)
	object.SetNamespace(observed.Names.Namespace)
	object.SetUID(types.UID("uid-of-" + strings.ToLower(kind) + "-" + name))
	object.SetResourceVersion("7")
	object.SetLabels(map[string]string{v1alpha1.Group + "/cluster": observed.Names.Cluster})
	object.SetOwnerReferences([]metav1.OwnerReference{
		*metav1.NewControllerRef(observed.Cluster, v1alpha1.GroupVersionKind),
	})
	observed.Owned = append(observed.Owned, object)
}

func empty(kind string) state.Object {
	object, err := scheme.New(gvkOf(kind))
	if err != nil {
		panic(fmt.Sprintf("a situation with a %s: %v", kind, err))
	}
	return object.(state.Object)
}

// gvkOf finds the group and version of a kind.
func gvkOf(kind string) schema.GroupVersionKind {
	for gvk := range scheme.AllKnownTypes() {
		if gvk.Kind == kind && gvk.Version == "v1" {
			return gvk
		}
	}
	panic(fmt.Sprintf("a situation with a %s, which is no kind of ours", kind))
}

var scheme = func() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, corev1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme, certmanager.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	return scheme
}()
