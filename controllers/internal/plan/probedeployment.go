package plan

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	applyapps "k8s.io/client-go/applyconfigurations/apps/v1"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	applymeta "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// probe plans the pod that proves and heals the mesh, and what it may touch.
func probe(p *Plan, s state.State, operator Operator) {
	p.apply(probeServiceAccount(s), probeRole(s), probeRoleBinding(s))
	deployment := applyapps.Deployment(s.Names.Probe(), s.Names.Namespace)
	if _, ok := s.StoredCertificate(s.Names.Probe()); !ok || s.Cookie() == nil || s.Trust().Empty() {
		p.hold(v1alpha1.ReasonProgressing, "Waiting for the cookie, the trust bundle and the probe's certificate; then the probe is started", deployment)
	} else if account := probeAccount(s); account != nil {
		p.apply(probeDeployment(s, operator, account))
	} else {
		// Without its ServiceAccount no pod of it could be created. One that was created again
		// is observed in the next pass.
		p.Held = append(p.Held, deployment)
	}
}

// probeAccount is the ServiceAccount of the probe; nil when there is none.
func probeAccount(s state.State) state.Object {
	for _, object := range s.Owned {
		if object.GetObjectKind().GroupVersionKind().Kind == "ServiceAccount" && object.GetName() == s.Names.Probe() {
			return object
		}
	}
	return nil
}

// accountAnnotation of the probe's pod is the UID of its ServiceAccount. The token of a pod
// is one of that very object: after it was created again the API server refuses the token,
// and the kubelet gives the pod no other for most of an hour. So the pod is replaced.
const accountAnnotation = v1alpha1.Group + "/service-account-uid"

func probeDeployment(s state.State, operator Operator, account state.Object) *applyapps.DeploymentApplyConfiguration {
	labels := Labels(s.Names.Cluster)
	for key, value := range Selector(s.Names.Cluster, ComponentProbe) {
		labels[key] = value
	}
	return owned(applyapps.Deployment(s.Names.Probe(), s.Names.Namespace), s).
		WithSpec(applyapps.DeploymentSpec().
			WithReplicas(1).
			// Two probes would heal the same mesh at once.
			WithStrategy(applyapps.DeploymentStrategy().WithType(appsv1.RecreateDeploymentStrategyType)).
			WithSelector(applymeta.LabelSelector().WithMatchLabels(Selector(s.Names.Cluster, ComponentProbe))).
			WithTemplate(applycore.PodTemplateSpec().
				WithLabels(labels).
				WithAnnotations(map[string]string{accountAnnotation: string(account.GetUID())}).
				WithSpec(applycore.PodSpec().
					WithServiceAccountName(s.Names.Probe()).
					WithEnableServiceLinks(false).
					WithSecurityContext(applycore.PodSecurityContext().
						WithRunAsNonRoot(true).
						WithSeccompProfile(applycore.SeccompProfile().WithType(corev1.SeccompProfileTypeRuntimeDefault))).
					WithContainers(probeContainer(s, operator)))))
}

func probeContainer(s state.State, operator Operator) *applycore.ContainerApplyConfiguration {
	return applycore.Container().
		WithName("probe").
		WithImage(operator.Image).
		WithImagePullPolicy(operator.ImagePullPolicy).
		WithArgs("probe",
			fmt.Sprintf("--namespace=%s", s.Names.Namespace),
			fmt.Sprintf("--cluster=%s", s.Names.Cluster),
			fmt.Sprintf("--cluster-domain=%s", s.Names.ClusterDomain())).
		WithPorts(
			applycore.ContainerPort().WithName("metrics").WithContainerPort(8080).WithProtocol(corev1.ProtocolTCP),
			applycore.ContainerPort().WithName("health").WithContainerPort(8081).WithProtocol(corev1.ProtocolTCP)).
		WithLivenessProbe(httpProbe("/healthz")).
		WithReadinessProbe(httpProbe("/readyz")).
		WithResources(applycore.ResourceRequirements().
			WithRequests(corev1.ResourceList{
				corev1.ResourceCPU:    resource.MustParse("10m"),
				corev1.ResourceMemory: resource.MustParse("32Mi")}).
			WithLimits(corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("128Mi")})).
		WithSecurityContext(applycore.SecurityContext().
			WithAllowPrivilegeEscalation(false).
			WithReadOnlyRootFilesystem(true).
			WithCapabilities(applycore.Capabilities().WithDrop("ALL")))
}

func httpProbe(path string) *applycore.ProbeApplyConfiguration {
	return applycore.Probe().WithHTTPGet(applycore.HTTPGetAction().WithPath(path).WithPort(intstr.FromString("health")))
}
