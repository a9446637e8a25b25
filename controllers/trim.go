package controllers

import (
	"maps"
	"slices"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/apply"
	"github.com/erlang-operator/erlang-operator/controllers/internal/beam"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
)

// trim drops what is not read from an object before it is cached: above all private keys,
// annotations, which may hold whole Secrets, and the contents of what is not ours. Whoever
// may create objects in some namespace can give them our labels, of any size.
func trim(object any) (any, error) {
	metadata, err := meta.Accessor(object)
	if err != nil {
		return object, nil // not an object: a deletion whose last state is unknown
	}
	var mark map[string]string
	if controlledByCluster(metadata) {
		mark = apply.Mark(metadata)
	}
	if cluster, ok := object.(*unstructured.Unstructured); ok {
		apply.KeepForeignStatus(cluster)
	} else {
		trimManagedFields(metadata)
	}
	metadata.SetLabels(kept(metadata.GetLabels(), plan.LabelCluster, plan.LabelComponent, appsv1.ControllerRevisionHashLabelKey))
	metadata.SetAnnotations(kept(metadata.GetAnnotations(), readAnnotations...))
	maps.Copy(metadata.GetAnnotations(), mark)
	ours := isOurs(metadata)
	trimReferences(metadata)
	switch object := object.(type) {
	case *corev1.Secret:
		object.Data = contents(object.Data, ours, corev1.TLSCertKey, naming.AuthorityKey, naming.CookieKey, naming.PreviousCookieKey, naming.WrittenCookieKey)
	case *corev1.ConfigMap:
		object.Data, object.BinaryData = contents(object.Data, ours, naming.TrustKey), nil
	case *corev1.Pod:
		object.Spec = trimmedPod(object.Spec)
	case *appsv1.StatefulSet:
		object.Spec = appsv1.StatefulSetSpec{Replicas: object.Spec.Replicas, UpdateStrategy: object.Spec.UpdateStrategy,
			Template: corev1.PodTemplateSpec{Spec: trimmedPod(object.Spec.Template.Spec), ObjectMeta: metav1.ObjectMeta{
				Annotations: kept(object.Spec.Template.Annotations, plan.AnnotationTemplateDefaults)}}}
	case *certmanager.Certificate:
		if !ours {
			object.Spec, object.Status = certmanager.CertificateSpec{}, certmanager.CertificateStatus{}
		}
	case *certmanager.CertificateRequest:
		object.Spec.Request = nil
		object.Status.Certificate, object.Status.CA = limited(object.Status.Certificate), limited(object.Status.CA)
	case *unstructured.Unstructured:
		return object, v1alpha1.Pack(object, readFields...)
	default:
		trimSpec(object)
	}
	return object, nil
}

// readFields are the fields of an ErlangCluster that are read without decoding it.
var readFields = []string{cookieSecretField, issuerField, deliveryField}

// trimReferences keeps of the owners of an object the controller, and of its finalizers those
// of an ErlangCluster and of a pod that terminates, which are reported.
func trimReferences(object metav1.Object) {
	controller := metav1.GetControllerOf(object)
	object.SetOwnerReferences(nil)
	if controller != nil {
		object.SetOwnerReferences([]metav1.OwnerReference{*controller})
	}
	_, isCluster := object.(*unstructured.Unstructured)
	if _, isPod := object.(*corev1.Pod); !isCluster && (!isPod || object.GetDeletionTimestamp() == nil) {
		object.SetFinalizers(nil)
	}
}

// trimManagedFields keeps of the managed fields of what is ours what is to be restored.
func trimManagedFields(object metav1.Object) {
	if !controlledByCluster(object) {
		object.SetManagedFields(nil)
		return
	}
	apply.KeepForeignFields(object)
	object.SetManagedFields(slices.DeleteFunc(object.GetManagedFields(), func(entry metav1.ManagedFieldsEntry) bool {
		return entry.FieldsV1 != nil && len(entry.FieldsV1.GetRawBytes()) > maxContent
	}))
}

// trimSpec drops the whole of objects of which only metadata and conditions are read.
func trimSpec(object any) {
	switch object := object.(type) {
	case *metav1.PartialObjectMetadata:
		object.Labels, object.Annotations, object.OwnerReferences = nil, nil, nil
	case *certmanager.Issuer:
		object.Spec, object.Status.ACME = certmanager.IssuerSpec{}, nil
	case *certmanager.ClusterIssuer:
		object.Spec, object.Status.ACME = certmanager.IssuerSpec{}, nil
	case *appsv1.Deployment:
		object.Spec = appsv1.DeploymentSpec{}
	case *coordinationv1.Lease:
		object.ManagedFields = nil
		object.Spec = coordinationv1.LeaseSpec{HolderIdentity: object.Spec.HolderIdentity, RenewTime: object.Spec.RenewTime}
	case *corev1.Node:
		object.Spec, object.Status = corev1.NodeSpec{}, corev1.NodeStatus{Conditions: readyCondition(object)}
	case *corev1.Service:
		object.Spec, object.Status = corev1.ServiceSpec{}, corev1.ServiceStatus{}
	case *corev1.ServiceAccount:
		object.Secrets, object.ImagePullSecrets = nil, nil
	case *networkingv1.NetworkPolicy:
		object.Spec = networkingv1.NetworkPolicySpec{}
	case *policyv1.PodDisruptionBudget:
		object.Spec, object.Status = policyv1.PodDisruptionBudgetSpec{}, policyv1.PodDisruptionBudgetStatus{}
	case *rbacv1.Role:
		object.Rules = nil
	case *rbacv1.RoleBinding:
		object.Subjects = nil
	}
}

// readyCondition is whether a machine is Ready, and nothing that changes without it.
func readyCondition(machine *corev1.Node) []corev1.NodeCondition {
	for _, condition := range machine.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			condition.LastHeartbeatTime = metav1.Time{}
			return []corev1.NodeCondition{condition}
		}
	}
	return nil
}

// trimmedPod is of a pod's spec its delivery, the ports of its node, where it runs, and with
// which ServiceAccount.
func trimmedPod(spec corev1.PodSpec) corev1.PodSpec {
	beam.KeepFlags(&spec)
	return corev1.PodSpec{
		NodeName: spec.NodeName, ServiceAccountName: spec.ServiceAccountName, Containers: spec.Containers,
		Volumes: slices.DeleteFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name != naming.TLSVolume }),
	}
}

// readAnnotations are the annotations that decisions depend on.
var readAnnotations = []string{
	certmanager.CertificateNameKey, certmanager.CertificateRequestRevisionAnnotationKey, certmanager.IssuerNameAnnotationKey, certmanager.IssuerKindAnnotationKey,
	certmanager.IssuerGroupAnnotationKey, naming.RotationAnnotation, plan.AnnotationClusterUID, plan.CredentialsAnnotation,
	plan.AnnotationTemplateDefaults,
}

// isOurs reports whether an object may belong to an ErlangCluster.
func isOurs(object metav1.Object) bool {
	return controlledByCluster(object) || object.GetAnnotations()[certmanager.CertificateNameKey] == object.GetName()
}

func controlledByCluster(object metav1.Object) bool {
	owner := metav1.GetControllerOfNoCopy(object)
	return owner != nil && owner.Kind == "ErlangCluster"
}

// maxContent is more than any certificate chain, trust bundle or cookie of ours has.
const maxContent = 128 << 10

func limited(value []byte) []byte {
	if len(value) > maxContent {
		return nil
	}
	return value
}

// contents are some values of an object of ours.
func contents[V ~string | ~[]byte](data map[string]V, ours bool, keys ...string) map[string]V {
	all := kept(data, keys...)
	maps.DeleteFunc(all, func(_ string, value V) bool { return !ours || len(value) > maxContent })
	return all
}

func kept[V any](all map[string]V, keys ...string) map[string]V {
	some := map[string]V{}
	for _, key := range keys {
		if value, ok := all[key]; ok {
			some[key] = value
		}
	}
	return some
}
