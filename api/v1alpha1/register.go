package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group of everything that this project defines.
const Group = "erlang-operator.dev"

// Kind is that of an ErlangCluster.
const Kind = "ErlangCluster"

var (
	// SchemeGroupVersion is the group and version of this package's types.
	SchemeGroupVersion = schema.GroupVersion{Group: Group, Version: "v1alpha1"}

	// GroupVersionKind is that of an ErlangCluster.
	GroupVersionKind = SchemeGroupVersion.WithKind(Kind)

	schemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme makes a scheme know the types of this package.
	AddToScheme = schemeBuilder.AddToScheme
)

// ControllerOf is the reference of an object to the ErlangCluster that controls it, of whatever version;
// nil when none does. It is not a copy.
func ControllerOf(object metav1.Object) *metav1.OwnerReference {
	owner := metav1.GetControllerOfNoCopy(object)
	if owner == nil || schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind).GroupKind() != GroupVersionKind.GroupKind() {
		return nil
	}
	return owner
}

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(SchemeGroupVersion, &ErlangCluster{}, &ErlangClusterList{})
	metav1.AddToGroupVersion(scheme, SchemeGroupVersion)
	return nil
}
