package plan

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	applyapps "k8s.io/client-go/applyconfigurations/apps/v1"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	applymeta "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/beam"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// probe plans the pod that proves and heals the mesh, and what it may touch. It reads its
// credentials when they are there, and mounts none, so it starts while they are issued.
func probe(p *Plan, s state.State, operator Operator) {
	p.Release = releasedLease(s)
	spec := probeSpec(s, operator)
	p.apply(probeServiceAccount(s, spec), probeRole(s), probeRoleBinding(s))
	if account := probeAccount(s); account != nil {
		p.applyProbe(s, operator, spec, account)
	} else {
		// Without its ServiceAccount no pod of it could be created. One that was created again
		// is observed in the next pass.
		p.Held = append(p.Held, applyapps.Deployment(s.Names.Probe(), s.Names.Namespace))
	}
}

// releasedLease is the Lease of a silent probe, released, so that the next one begins at
// once. That is no sooner than it may by itself: a probe is silent after a longer time than another
// waits for. If it renews the Lease after all, that is no longer what was observed.
func releasedLease(s state.State) *coordinationv1.Lease {
	if s.SilentLease == nil {
		return nil
	}
	lease := s.SilentLease.DeepCopy()
	v1alpha1.Release(&lease.Spec)
	return lease
}

// applyProbe plans the Deployment of the probe, if what the user wrote can be one.
func (p *Plan) applyProbe(s state.State, operator Operator, spec v1alpha1.ProbeSpec, account state.Object) {
	deployment, err := probeDeployment(s, operator, spec, account)
	if err != nil {
		p.problem(v1alpha1.ReasonRejected, fmt.Sprintf("probe: %v", err))
		return
	}
	p.apply(deployment)
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

func probeDeployment(s state.State, operator Operator, spec v1alpha1.ProbeSpec, account state.Object) (*applyapps.DeploymentApplyConfiguration, error) {
	pod, err := probePod(s, operator, spec)
	if err != nil {
		return nil, err
	}
	annotations := beam.ExcludeFromMesh(spec.Annotations, s.Cluster.Spec.Distribution)
	annotations[accountAnnotation] = string(account.GetUID())
	selector := Selector(s.Names.Cluster, ComponentProbe)
	return owned(applyapps.Deployment(s.Names.Probe(), s.Names.Namespace), s).
		WithSpec(applyapps.DeploymentSpec().
			WithReplicas(1).
			// The former pod goes first, and is not waited for: on a machine that is lost it would
			// never end. The Lease keeps the two apart.
			WithStrategy(applyapps.DeploymentStrategy().WithType(appsv1.RollingUpdateDeploymentStrategyType).
				WithRollingUpdate(applyapps.RollingUpdateDeployment().
					WithMaxSurge(intstr.FromInt32(0)).WithMaxUnavailable(intstr.FromInt32(1)))).
			WithSelector(applymeta.LabelSelector().WithMatchLabels(selector)).
			WithTemplate(applycore.PodTemplateSpec().
				WithLabels(overlaid(Labels(s.Names.Cluster), spec.Labels, selector)).
				WithAnnotations(annotations).
				WithSpec(pod))), nil
}

func probePod(s state.State, operator Operator, spec v1alpha1.ProbeSpec) (*applycore.PodSpecApplyConfiguration, error) {
	container, err := probeContainer(s, operator, spec)
	if err != nil {
		return nil, err
	}
	pod, err := probePodSpec(spec)
	if err != nil {
		return nil, err
	}
	return pod.
		WithServiceAccountName(s.Names.Probe()).
		WithEnableServiceLinks(false).
		WithSecurityContext(applycore.PodSecurityContext().
			WithRunAsNonRoot(true).
			WithSeccompProfile(applycore.SeccompProfile().WithType(corev1.SeccompProfileTypeRuntimeDefault))).
		WithContainers(container), nil
}

func probeContainer(s state.State, operator Operator, spec v1alpha1.ProbeSpec) (*applycore.ContainerApplyConfiguration, error) {
	resources := &applycore.ResourceRequirementsApplyConfiguration{}
	if err := convert(spec.Resources, resources); err != nil {
		return nil, err
	}
	return applycore.Container().
		WithName("probe").
		WithImage(operator.Image).
		WithImagePullPolicy(operator.ImagePullPolicy).
		WithArgs("probe",
			fmt.Sprintf("--namespace=%s", s.Names.Namespace),
			fmt.Sprintf("--cluster=%s", s.Names.Cluster),
			fmt.Sprintf("--cluster-domain=%s", s.Names.ClusterDomain())).
		WithPorts(
			applycore.ContainerPort().WithName("health").WithContainerPort(8081).WithProtocol(corev1.ProtocolTCP)).
		WithLivenessProbe(httpProbe("/healthz")).
		WithReadinessProbe(httpProbe("/readyz")).
		WithResources(resources).
		WithSecurityContext(applycore.SecurityContext().
			WithAllowPrivilegeEscalation(false).
			WithReadOnlyRootFilesystem(true).
			WithCapabilities(applycore.Capabilities().WithDrop("ALL"))), nil
}

func httpProbe(path string) *applycore.ProbeApplyConfiguration {
	return applycore.Probe().WithHTTPGet(applycore.HTTPGetAction().WithPath(path).WithPort(intstr.FromString("health")))
}
