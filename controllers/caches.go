package controllers

import (
	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/controllers/internal/observe"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
)

// CacheOptions cache what has a cluster's label, as far as it is read, what gives each pod
// its own certificate, and the kubelets' requests to our signer, where it runs.
func CacheOptions(by PodIdentity, scope Scope) (cache.Options, error) {
	labelled, err := labels.NewRequirement(plan.LabelCluster, selection.Exists, nil)
	if err != nil {
		return cache.Options{}, err
	}
	ours := cache.ByObject{Label: labels.NewSelector().Add(*labelled)}
	options := cache.Options{
		DefaultNamespaces: scope.namespaces(),
		DefaultTransform:  trim,
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}:                     ours,
			&certmanager.CertificateRequest{}: ours,
			&coordinationv1.Lease{}:           ours,
		},
	}
	for _, kind := range scope.admissionKinds(by) {
		options.ByObject[kind] = cache.ByObject{Field: fields.OneTermEqualSelector("metadata.name", observe.Admission)}
	}
	if scope.signs() {
		options.ByObject[&certificatesv1.PodCertificateRequest{}] = cache.ByObject{
			Field: fields.OneTermEqualSelector("spec.signerName", certs.SignerName),
			// They are written back.
			Transform: cache.TransformStripManagedFields()}
	}
	for _, kind := range observe.OwnedKinds() {
		switch kind.(type) {
		case *certmanager.Issuer:
			// Users' issuers are read too.
		default:
			options.ByObject[kind] = ours
		}
	}
	return options, nil
}
