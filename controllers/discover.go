package controllers

import (
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/controllers/internal/observe"
)

// Served is what not every Kubernetes has.
type Served = observe.Served

// Discover asks an API server what it has. A cache of what it has not would never start.
func Discover(config *rest.Config) (Served, error) {
	discoverer, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return Served{}, err
	}
	policies, err := serves(discoverer, admissionv1.SchemeGroupVersion, "mutatingadmissionpolicies")
	if err != nil {
		return Served{}, err
	}
	requests, err := serves(discoverer, certificatesv1.SchemeGroupVersion, "podcertificaterequests")
	return Served{AdmissionPolicies: policies, PodCertificates: requests}, err
}

func serves(discoverer discovery.DiscoveryInterface, version schema.GroupVersion, resource string) (bool, error) {
	served, err := discoverer.ServerResourcesForGroupVersion(version.String())
	if err := client.IgnoreNotFound(err); err != nil {
		return false, fmt.Errorf("discover %s: %w", resource, err)
	}
	return err == nil && slices.ContainsFunc(served.APIResources, func(r metav1.APIResource) bool { return r.Name == resource }), nil
}
