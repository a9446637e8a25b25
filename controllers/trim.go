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
	if v1alpha1.ControllerOf(metadata) != nil {
		apply.Mark(metadata) // It is of the whole object.
	}
	ours := isOurs(metadata)
	trimMetadata(metadata)
	if cluster, ok := object.(*unstructured.Unstructured); ok {
		return cluster, v1alpha1.Pack(cluster, readFields...)
	}
	trimContent(object, ours)
	if ours {
		shareOwner(metadata)
	}
	return object, nil
}

// readFields are the fields of an ErlangCluster that are read without decoding it.
var readFields = []string{cookieSecretField, issuerField, deliveryField}

func trimMetadata(object metav1.Object) {
	trimManagedFields(object)
	object.SetLabels(kept(object.GetLabels(), plan.LabelCluster, plan.LabelComponent, appsv1.ControllerRevisionHashLabelKey))
	shareLabels(object)
	object.SetAnnotations(kept(object.GetAnnotations(), readAnnotations...))
	trimReferences(object)
}

// trimReferences keeps of the owners of an object the controller, and its finalizers if they are read.
func trimReferences(object metav1.Object) {
	controller := metav1.GetControllerOf(object)
	object.SetOwnerReferences(nil)
	if controller != nil {
		controller.BlockOwnerDeletion = nil
		object.SetOwnerReferences([]metav1.OwnerReference{*controller})
	}
	if !readsFinalizers(object) {
		object.SetFinalizers(nil)
	}
}

// readsFinalizers reports whether the finalizers of an object are reported: those of an ErlangCluster, and
// of a pod or a Certificate of ours that terminates.
func readsFinalizers(object metav1.Object) bool {
	switch object.(type) {
	case *unstructured.Unstructured:
		return true
	case *corev1.Pod:
		return object.GetDeletionTimestamp() != nil
	case *certmanager.Certificate:
		return object.GetDeletionTimestamp() != nil && v1alpha1.ControllerOf(object) != nil
	}
	return false
}

// trimManagedFields keeps of the managed fields of what is ours what is to be restored. Of Secrets
// that is the cookie: what the others have is cert-manager's. Of an ErlangCluster it is the status.
func trimManagedFields(object metav1.Object) {
	if cluster, ok := object.(*unstructured.Unstructured); ok {
		apply.KeepForeignStatus(cluster)
		return
	}
	_, isSecret := object.(*corev1.Secret)
	if v1alpha1.ControllerOf(object) == nil || isSecret && !isCookie(object) {
		object.SetManagedFields(nil)
		return
	}
	apply.KeepForeignFields(object)
}

// trimContent keeps of the content of an object what is read.
func trimContent(object any, ours bool) {
	switch object := object.(type) {
	case *corev1.Secret:
		object.Data = contents(object.Data, ours, corev1.TLSCertKey, naming.AuthorityKey, naming.CookieKey, naming.PreviousCookieKey, naming.WrittenCookieKey)
		shareCertificates(object)
	case *corev1.ConfigMap:
		object.Data, object.BinaryData = contents(object.Data, ours, naming.TrustKey), nil
	case *corev1.Pod:
		object.Spec, object.Status = trimmedPod(object.Spec), trimmedPodStatus(object.Status)
	case *appsv1.StatefulSet:
		object.Spec = appsv1.StatefulSetSpec{Replicas: object.Spec.Replicas, UpdateStrategy: object.Spec.UpdateStrategy,
			Template: corev1.PodTemplateSpec{Spec: trimmedPod(object.Spec.Template.Spec), ObjectMeta: metav1.ObjectMeta{
				Annotations: kept(object.Spec.Template.Annotations, plan.AnnotationTemplateDefaults)}}}
	case *certmanager.Certificate:
		trimCertificate(object, ours)
	case *certmanager.CertificateRequest:
		object.Spec = certmanager.CertificateRequestSpec{IssuerRef: sharedIssuer(object.Spec.IssuerRef)}
		object.Status.Certificate, object.Status.CA = sharedCertificate(limited(object.Status.Certificate)), sharedCertificate(limited(object.Status.CA))
	default:
		trimSpec(object)
	}
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
		object.Spec, object.Status = appsv1.DeploymentSpec{}, appsv1.DeploymentStatus{Conditions: only(object.Status.Conditions, func(c appsv1.DeploymentCondition) bool {
			return c.Type == appsv1.DeploymentReplicaFailure
		})}
	case *coordinationv1.Lease:
		object.ManagedFields = nil
		object.Spec = coordinationv1.LeaseSpec{HolderIdentity: object.Spec.HolderIdentity, AcquireTime: object.Spec.AcquireTime, RenewTime: object.Spec.RenewTime}
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

// trimCertificate keeps of a Certificate of ours what is read. What was applied is in its mark.
func trimCertificate(certificate *certmanager.Certificate, ours bool) {
	spec, status := certificate.Spec, certificate.Status
	certificate.Spec, certificate.Status = certmanager.CertificateSpec{}, certmanager.CertificateStatus{}
	if !ours {
		return
	}
	certificate.Spec = certmanager.CertificateSpec{DNSNames: spec.DNSNames, Duration: spec.Duration, IsCA: spec.IsCA, IssuerRef: sharedIssuer(spec.IssuerRef)}
	for i := range status.Conditions {
		status.Conditions[i].Reason, status.Conditions[i].Message = sharedText(status.Conditions[i].Reason), sharedText(status.Conditions[i].Message)
	}
	certificate.Status = certmanager.CertificateStatus{Conditions: status.Conditions, LastFailureTime: status.LastFailureTime, FailedIssuanceAttempts: status.FailedIssuanceAttempts}
}

// readAnnotations are the annotations that decisions depend on.
var readAnnotations = []string{
	certmanager.CertificateNameKey, certmanager.CertificateRequestRevisionAnnotationKey, certmanager.IssuerNameAnnotationKey, certmanager.IssuerKindAnnotationKey,
	certmanager.IssuerGroupAnnotationKey, naming.RotationAnnotation, plan.AnnotationClusterUID, plan.CredentialsAnnotation,
	plan.AnnotationTemplateDefaults,
}

// isOurs reports whether an object may belong to an ErlangCluster.
func isOurs(object metav1.Object) bool {
	return v1alpha1.ControllerOf(object) != nil || isIssued(object)
}

// isIssued reports whether cert-manager may have made a Secret.
func isIssued(object metav1.Object) bool {
	return object.GetAnnotations()[certmanager.CertificateNameKey] == object.GetName()
}

// isCookie reports whether a Secret is the cookie of the cluster that controls it.
func isCookie(secret metav1.Object) bool {
	cluster := v1alpha1.ControllerOf(secret)
	return cluster != nil && secret.GetName() == naming.Names{Cluster: cluster.Name}.CookieSecret()
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
	if !ours {
		return nil
	}
	all := kept(data, keys...)
	maps.DeleteFunc(all, func(_ string, value V) bool { return len(value) > maxContent })
	return all
}

// only has some elements of a slice, and no room for the others.
func only[V any](all []V, keep func(V) bool) (some []V) {
	for _, element := range all {
		if keep(element) {
			some = append(some, element)
		}
	}
	return slices.Clone(some)
}

// kept is nil when nothing is: an empty map takes memory.
func kept[V any](all map[string]V, keys ...string) map[string]V {
	var some map[string]V
	for _, key := range keys {
		if value, ok := all[key]; ok {
			if some == nil {
				some = map[string]V{}
			}
			some[key] = value
		}
	}
	return some
}
