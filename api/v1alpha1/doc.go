// Package v1alpha1 is the API of erlang-operator: the ErlangCluster, its
// status, and the conditions and reasons that are part of the contract.
//
// It holds types and constants only. Nothing of this project is imported here.
//
// +kubebuilder:object:generate=true
// +groupName=erlang-operator.dev
package v1alpha1
