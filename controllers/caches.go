package controllers

import (
	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/apply"
	"github.com/erlang-operator/erlang-operator/controllers/internal/observe"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
)

// CacheOptions cache what has a cluster's label, without private keys, and the kubelets'
// requests to our signer, where Kubernetes has them.
func CacheOptions(podCertificatesServed bool) (cache.Options, error) {
	labelled, err := labels.NewRequirement(plan.LabelCluster, selection.Exists, nil)
	if err != nil {
		return cache.Options{}, err
	}
	ours := cache.ByObject{Label: labels.NewSelector().Add(*labelled)}
	policy := cache.ByObject{Field: fields.OneTermEqualSelector("metadata.name", observe.AdmissionPolicy)}
	options := cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}:                                 ours,
			&certmanager.CertificateRequest{}:             {Label: ours.Label, Transform: withoutRequest},
			&admissionv1.MutatingAdmissionPolicy{}:        policy,
			&admissionv1.MutatingAdmissionPolicyBinding{}: policy,
		},
	}
	if podCertificatesServed {
		options.ByObject[&certificatesv1.PodCertificateRequest{}] = cache.ByObject{
			Field: fields.OneTermEqualSelector("spec.signerName", certs.SignerName)}
	}
	for _, kind := range observe.OwnedKinds() {
		switch kind.(type) {
		case *certmanager.Issuer:
			// Users' issuers are read too.
			options.ByObject[kind] = cache.ByObject{Transform: apply.KeepForeignFields}
		case *corev1.Secret:
			options.ByObject[kind] = cache.ByObject{Label: ours.Label, Transform: withoutKeys}
		default:
			options.ByObject[kind] = cache.ByObject{Label: ours.Label, Transform: apply.KeepForeignFields}
		}
	}
	return options, nil
}

// withoutRequest drops the signing request from CertificateRequests: their conditions are
// read, and the certificates that were issued.
func withoutRequest(object any) (any, error) {
	if request, ok := object.(*certmanager.CertificateRequest); ok {
		request.ManagedFields = nil
		request.Spec.Request = nil
	}
	return object, nil
}

// withoutKeys drops the private keys from Secrets before they are cached: no decision
// depends on them.
func withoutKeys(object any) (any, error) {
	secret, ok := object.(*corev1.Secret)
	if !ok {
		return object, nil
	}
	secret.ManagedFields = nil
	kept := map[string][]byte{}
	for _, key := range []string{corev1.TLSCertKey, naming.AuthorityKey, naming.CookieKey, naming.PreviousCookieKey} {
		if value, ok := secret.Data[key]; ok {
			kept[key] = value
		}
	}
	secret.Data = kept
	return secret, nil
}
