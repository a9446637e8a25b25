package plan

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	applyapps "k8s.io/client-go/applyconfigurations/apps/v1"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	applymeta "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/beam"
	"github.com/erlang-operator/erlang-operator/controllers/internal/rollout"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// nodes plans the StatefulSet that runs the nodes. It starts a node only when what the
// node needs to prove itself is there: a pod whose Secret is missing waits in the
// kubelet, with ever longer pauses.
func nodes(p *Plan, s state.State) {
	if problems := preventing(s); len(problems) > 0 {
		p.Problems = append(p.Problems, problems...)
		return
	}
	if s.StatefulSet == nil && (s.Cookie() == nil || s.Trust().Empty()) {
		p.hold(v1alpha1.ReasonProgressing, "Waiting for the cookie and the trust bundle; then the nodes are started",
			applyapps.StatefulSet(s.Names.StatefulSet(), s.Names.Namespace))
		return
	}
	if pod, waits := unprepared(s); waits && changesDelivery(s) {
		p.hold(v1alpha1.ReasonCertificatesPending, fmt.Sprintf(
			"Waiting for %s; then tls.delivery is changed, and the nodes are restarted one by one", awaited(s, pod)))
		return
	}
	p.Rollout = rollout.Next(s, p.Rotations)
	replicas := startable(s)
	set, err := statefulSet(s, replicas, p.Rollout)
	if err != nil {
		p.problem(v1alpha1.ReasonRejected, err.Error())
		return
	}
	if replicas < s.Replicas() {
		p.hold(v1alpha1.ReasonCertificatesPending, fmt.Sprintf(
			"Waiting for %s; then the pod is started", awaited(s, s.Names.Pod(replicas))))
	}
	p.apply(set)
	p.awaitSurplus(s)
	p.replaceOutdated(s)
	p.deletePodsWithoutIdentity(s)
}

// preventing are the problems that keep the StatefulSet as it is.
func preventing(s state.State) []Problem {
	var problems []Problem
	for _, conflict := range beam.Conflicts(s.Cluster.Spec) {
		problems = append(problems, Problem{v1alpha1.ReasonRejected, conflict})
	}
	switch {
	case len(problems) > 0:
	case delivery(s) == v1alpha1.DeliveryPodCertificate && !s.PodCertificatesServed:
		return []Problem{{v1alpha1.ReasonPodCertificatesMissing,
			"tls.delivery: PodCertificate needs PodCertificateRequests (certificates.k8s.io/v1), and this Kubernetes had none when the manager started. Set tls.delivery to Secret, or upgrade to Kubernetes 1.37 or later and restart the manager"}}
	case delivery(s) == v1alpha1.DeliveryPodCertificate && !s.MaySign:
		return []Problem{{v1alpha1.ReasonPodCertificatesMissing,
			"tls.delivery: PodCertificate needs a manager that may sign for erlang-operator.dev/member, and this one might not when it started. Set tls.delivery to Secret, or have an administrator bind the ClusterRole erlang-operator-manager-cluster to the ServiceAccount of the manager, and restart the manager"}}
	case delivery(s) == v1alpha1.DeliverySecret && s.Admission.Lacking != "":
		return []Problem{{v1alpha1.ReasonPodIdentityMissing, notInForce(s.Admission)}}
	}
	return problems
}

// startable is how many nodes may run: those that the spec wants, as far as their
// certificates are there without a gap. What runs already goes on.
func startable(s state.State) int32 {
	running := running(s)
	for ordinal := range s.Replicas() {
		if ordinal >= running && !prepared(s, s.Names.Pod(ordinal)) {
			return ordinal
		}
	}
	if s.StatefulSet == nil || s.StatefulSet.Spec.Replicas == nil {
		return s.Replicas()
	}
	return max(s.Replicas(), min(lastSurplus(s), *s.StatefulSet.Spec.Replicas))
}

// lastSurplus is the highest ordinal of a pod that is to go, so that it goes before the
// others: each closes its links, and the rest are a mesh meanwhile. A pod that does not
// terminate, as on a machine that is gone, does not keep the others from it.
func lastSurplus(s state.State) int32 {
	last := int32(0)
	for _, pod := range s.OwnPods() {
		ordinal, ours := s.Names.Ordinal(pod.Name)
		if ours && (pod.DeletionTimestamp == nil || !state.StuckAt(pod).Before(s.Now)) {
			last = max(last, ordinal)
		}
	}
	return last
}

// awaitSurplus plans a pass for the time when a pod that is to go is stuck.
func (p *Plan) awaitSurplus(s state.State) {
	for _, pod := range s.OwnPods() {
		ordinal, ours := s.Names.Ordinal(pod.Name)
		if ours && ordinal >= s.Replicas() && pod.DeletionTimestamp != nil && state.StuckAt(pod).After(s.Now) {
			p.again(state.StuckAt(pod))
		}
	}
}

// running is how many nodes the StatefulSet has to have so that it stops none that runs.
// Pods count for themselves: those of a StatefulSet that is gone would be adopted by
// the next one, and deleted if it had fewer replicas.
func running(s state.State) int32 {
	running := int32(0)
	if s.StatefulSet != nil && s.StatefulSet.Spec.Replicas != nil {
		running = *s.StatefulSet.Spec.Replicas
	}
	for _, pod := range s.Pods {
		if ordinal, ok := s.Names.Ordinal(pod.Name); ok {
			running = max(running, ordinal+1)
		}
	}
	return running
}

func statefulSet(s state.State, replicas int32, step rollout.Step) (*applyapps.StatefulSetApplyConfiguration, error) {
	template, err := podTemplate(s)
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	claims, err := volumeClaims(s.Cluster.Spec.VolumeClaimTemplates)
	if err != nil {
		return nil, fmt.Errorf("volumeClaimTemplates: %w", err)
	}
	spec := applyapps.StatefulSetSpec().
		WithReplicas(replicas).
		WithServiceName(s.Names.Service()).
		// One at a time in order would deadlock a cluster that needs its quorum to start.
		WithPodManagementPolicy(appsv1.ParallelPodManagement).
		WithUpdateStrategy(updateStrategy(step.Latest)).
		WithSelector(applymeta.LabelSelector().WithMatchLabels(Selector(s.Names.Cluster, ComponentNode))).
		WithTemplate(template).
		WithVolumeClaimTemplates(claims...)
	if policy := s.Cluster.Spec.PersistentVolumeClaimRetentionPolicy; policy != nil {
		spec.WithPersistentVolumeClaimRetentionPolicy(claimRetention(*policy))
	}
	return owned(applyapps.StatefulSet(s.Names.StatefulSet(), s.Names.Namespace), s).WithSpec(spec), nil
}

// updateStrategy is one with which Kubernetes replaces no pod by itself: either a pod that is
// created gets the latest template, or that which the whole cluster ran with last.
func updateStrategy(latest bool) *applyapps.StatefulSetUpdateStrategyApplyConfiguration {
	if latest {
		return applyapps.StatefulSetUpdateStrategy().WithType(appsv1.OnDeleteStatefulSetStrategyType)
	}
	return applyapps.StatefulSetUpdateStrategy().
		WithType(appsv1.RollingUpdateStatefulSetStrategyType).
		WithRollingUpdate(applyapps.RollingUpdateStatefulSetStrategy().WithPartition(v1alpha1.MaxReplicas))
}

// replaceOutdated deletes the pods that may be replaced now, once pods that are created get
// the latest template.
func (p *Plan) replaceOutdated(s state.State) {
	if s.StatefulSet == nil || s.StatefulSet.Spec.UpdateStrategy.Type != appsv1.OnDeleteStatefulSetStrategyType {
		return
	}
	for _, pod := range p.Rollout.Replace {
		p.Delete = append(p.Delete, pod)
	}
}

func podTemplate(s state.State) (*applycore.PodTemplateSpecApplyConfiguration, error) {
	template, complete := &applycore.PodTemplateSpecApplyConfiguration{}, beam.Template(s.Cluster, s.Names)
	completeTemplate(complete, s)
	if err := convert(complete, template); err != nil {
		return nil, err
	}
	return template.WithLabels(Selector(s.Names.Cluster, ComponentNode)), nil
}

func volumeClaims(claims []corev1.PersistentVolumeClaim) ([]*applycore.PersistentVolumeClaimApplyConfiguration, error) {
	configurations := make([]*applycore.PersistentVolumeClaimApplyConfiguration, len(claims))
	for i := range claims {
		configurations[i] = &applycore.PersistentVolumeClaimApplyConfiguration{}
		if err := convert(&claims[i], configurations[i]); err != nil {
			return nil, err
		}
		configurations[i].Status = nil
	}
	return configurations, nil
}

func claimRetention(policy appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy) *applyapps.StatefulSetPersistentVolumeClaimRetentionPolicyApplyConfiguration {
	retention := applyapps.StatefulSetPersistentVolumeClaimRetentionPolicy()
	if policy.WhenDeleted != "" {
		retention.WithWhenDeleted(policy.WhenDeleted)
	}
	if policy.WhenScaled != "" {
		retention.WithWhenScaled(policy.WhenScaled)
	}
	return retention
}

// convert makes an apply configuration of what the user wrote. Both have the same form
// as JSON.
func convert(from, to any) error {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(from)
	if err != nil {
		return err
	}
	return runtime.DefaultUnstructuredConverter.FromUnstructured(content, to)
}
