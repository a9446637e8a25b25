package v1alpha1

import corev1 "k8s.io/api/core/v1"

// ProbeSpec configures the pod of the probe. A change of it replaces that pod, and no pod of
// a node. What is left out is as the manager's --probe-defaults have it.
type ProbeSpec struct {
	// resources of the probe's container. Default: requests of 10m CPU and 32Mi memory, and
	// a limit of 128Mi memory.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`

	// tolerations of the pod, in addition to those that the operator gives it.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// nodeSelector are labels that a machine must have to run the pod.
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// affinity of the pod.
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`

	// topologySpreadConstraints of the pod. They count the pods that their labelSelector
	// selects, which may be those of the nodes.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`

	// priorityClassName of the pod.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	PriorityClassName string `json:"priorityClassName,omitempty"`

	// imagePullSecrets are Secrets with which the image of the operator is pulled, in the
	// namespace of the cluster. Default: those of the template.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`

	// labels of the pod. Those of erlang-operator.dev are the operator's.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`

	// annotations of the pod. Those of erlang-operator.dev are the operator's.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`

	// serviceAccountAnnotations are annotations of the ServiceAccount of the pod.
	// +optional
	ServiceAccountAnnotations map[string]string `json:"serviceAccountAnnotations,omitempty"`
}

// ServiceMesh is a service mesh that injects a proxy into pods.
//
// +kubebuilder:validation:Enum=None;Istio;Linkerd
type ServiceMesh string

const (
	// ServiceMeshNone is no service mesh, or none that intercepts the distribution.
	ServiceMeshNone ServiceMesh = "None"
	// ServiceMeshIstio is Istio with sidecars.
	ServiceMeshIstio ServiceMesh = "Istio"
	// ServiceMeshLinkerd is Linkerd.
	ServiceMeshLinkerd ServiceMesh = "Linkerd"
)
