package controllers

import (
	"context"
	"fmt"
	"strings"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/controllers/internal/observe"
)

// Scope is what the manager watches.
type Scope struct {
	// Namespaces that are watched; none for all. With namespaces the manager has Roles in
	// these alone, so it reads nothing that is in no namespace.
	Namespaces []string
	// Served is what this Kubernetes has.
	Served Served
	// MaySign: the manager may answer PodCertificateRequests.
	MaySign bool
}

// ScopeOf completes the namespaces with what the API server has, and allows.
func ScopeOf(ctx context.Context, config *rest.Config, namespaces []string) (Scope, error) {
	scope := Scope{Namespaces: namespaces}
	for _, namespace := range namespaces {
		if problems := validation.IsDNS1123Label(namespace); len(problems) > 0 {
			return scope, fmt.Errorf("--watch-namespaces: %q is no name of a namespace: %s", namespace, strings.Join(problems, "; "))
		}
	}
	var err error
	if scope.Served, err = Discover(config); err != nil {
		return scope, err
	}
	if scope.MaySign, err = maySign(ctx, config); err != nil {
		return scope, fmt.Errorf("ask whether the manager may sign certificates: %w", err)
	}
	return scope, nil
}

// maySign asks the API server for the permission of a signer, which is one beyond any
// namespace. Everybody may ask for their own permissions.
func maySign(ctx context.Context, config *rest.Config) (bool, error) {
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return false, err
	}
	review, err := clients.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Group: certificatesv1.GroupName, Resource: "signers", Verb: "sign", Name: certs.SignerName,
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return review.Status.Allowed, nil
}

func (s Scope) clusterWide() bool { return len(s.Namespaces) == 0 }

// signs reports whether the signer runs.
func (s Scope) signs() bool { return s.Served.PodCertificates && s.MaySign }

// admissionKinds are the kinds that are watched of what gives pods their own certificates.
func (s Scope) admissionKinds(by PodIdentity) []client.Object {
	if !s.clusterWide() {
		return nil
	}
	return observe.AdmissionKinds(by, s.Served)
}

// issuers are the kinds of cert-manager's issuers that are watched.
func (s Scope) issuers() []client.Object {
	if !s.clusterWide() {
		return []client.Object{&certmanager.Issuer{}}
	}
	return []client.Object{&certmanager.Issuer{}, &certmanager.ClusterIssuer{}}
}

// namespaces restricts a cache to them; nil for all.
func (s Scope) namespaces() map[string]cache.Config {
	if s.clusterWide() {
		return nil
	}
	watched := map[string]cache.Config{}
	for _, namespace := range s.Namespaces {
		watched[namespace] = cache.Config{}
	}
	return watched
}
