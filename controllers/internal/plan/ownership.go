package plan

import (
	"maps"
	"slices"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	applymeta "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// ownable is what every typed apply configuration can do.
type ownable[T any] interface {
	WithLabels(map[string]string) T
	WithOwnerReferences(...*applymeta.OwnerReferenceApplyConfiguration) T
}

// owned marks a configuration as the cluster's: garbage collection takes it when
// the cluster goes.
func owned[T ownable[T]](configuration T, s state.State) T {
	return configuration.
		WithLabels(Labels(s.Names.Cluster)).
		WithOwnerReferences(applymeta.OwnerReference().
			WithAPIVersion(v1alpha1.SchemeGroupVersion.String()).
			WithKind(v1alpha1.Kind).
			WithName(s.Cluster.Name).
			WithUID(s.Cluster.UID).
			WithController(true).
			WithBlockOwnerDeletion(true))
}

// OwnerReference is the same as a typed value.
func OwnerReference(cluster *v1alpha1.ErlangCluster) metav1.OwnerReference {
	return *metav1.NewControllerRef(cluster, v1alpha1.GroupVersionKind)
}

// Adoptable reports whether an object, of a name that the cluster needs, has the cluster's
// labels and no controller: its owner reference was removed, or its cluster was deleted
// without it and created again.
func Adoptable(cluster *v1alpha1.ErlangCluster, object metav1.Object) bool {
	labels := object.GetLabels()
	for key, value := range Labels(cluster.Name) {
		if labels[key] != value {
			return false
		}
	}
	return metav1.GetControllerOf(object) == nil
}

// Owns reports whether a Secret is the cluster's: the cluster is its controller, or one of
// the cluster's Certificates has it issued, or one that is gone had, with the cluster's UID
// on it. Labels prove nothing: users set them on Secrets of their own.
func Owns(cluster *v1alpha1.ErlangCluster, certificates map[string]*certmanager.Certificate, secret metav1.Object) bool {
	if metav1.IsControlledBy(secret, cluster) {
		return true
	}
	certificate, unowned := certificates[secret.GetName()], metav1.GetControllerOf(secret) == nil
	if certificate == nil {
		return unowned && issuedFor(cluster, secret)
	}
	return unowned || metav1.IsControlledBy(secret, certificate)
}

// issuedFor reports whether cert-manager made a Secret for a Certificate of the cluster. A
// copy of such a Secret has another name, and is its maker's.
func issuedFor(cluster *v1alpha1.ErlangCluster, secret metav1.Object) bool {
	annotations := secret.GetAnnotations()
	return annotations[AnnotationClusterUID] == string(cluster.UID) && annotations[certmanager.CertificateNameKey] == secret.GetName()
}

// MayTake reports whether a Secret may become the cluster's: it is, or it looks as if
// cert-manager had made it for a Certificate of this cluster, and nobody controls it.
func MayTake(cluster *v1alpha1.ErlangCluster, secret metav1.Object) bool {
	if controller := metav1.GetControllerOf(secret); controller != nil && !controlledByCertificate(secret) {
		return controller.UID == cluster.UID
	}
	return secret.GetLabels()[LabelCluster] == cluster.Name && secret.GetAnnotations()[certmanager.CertificateNameKey] == secret.GetName()
}

// controlledByCertificate reports whether cert-manager made a Secret with
// --enable-certificate-owner-ref: it goes with its Certificate, and no other can be its
// controller.
func controlledByCertificate(secret metav1.Object) bool {
	controller := metav1.GetControllerOf(secret)
	return controller != nil && controller.Kind == certmanager.CertificateKind && controller.Name == secret.GetName()
}

// ownership takes the Secrets that cert-manager made for our Certificates: it sets
// no owner on them unless a flag is set, and they would outlive the cluster. The
// Certificate is an owner too. So garbage collection takes the Secret after it, and
// cert-manager, which makes a Secret again as long as the Certificate is there,
// leaves none behind.
func ownership(p *Plan, s state.State) {
	for _, name := range slices.Sorted(maps.Keys(s.Secrets)) {
		secret, certificate := s.Secrets[name], s.Certificates[name]
		if certificate == nil || certificate.DeletionTimestamp != nil || controlledByCertificate(secret) || p.deletes(name) {
			continue
		}
		p.apply(owned(applycore.Secret(name, s.Names.Namespace).WithUID(secret.UID), s).
			WithOwnerReferences(applymeta.OwnerReference().
				WithAPIVersion(certmanager.SchemeGroupVersion.String()).
				WithKind(certmanager.CertificateKind).
				WithName(name).
				WithUID(certificate.UID)))
	}
}
