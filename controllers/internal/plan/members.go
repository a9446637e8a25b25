package plan

import (
	"encoding/json"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	applyapps "k8s.io/client-go/applyconfigurations/apps/v1"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	applymeta "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// members makes the StatefulSet that runs the nodes. It starts a node only when
// what the node needs to prove itself is there: a pod whose Secret is missing
// waits in the kubelet, with ever longer pauses.
func members(p *Plan, s state.State, _ Operator) {
	if conflicts := Conflicts(s.Cluster.Spec); len(conflicts) > 0 {
		p.Problems = append(p.Problems, conflicts...)
		return
	}
	if delivery(s) == v1alpha1.DeliveryPodCertificate && !s.PodCertificatesServed {
		p.problem(v1alpha1.ReasonPodCertificatesMissing,
			"tls.delivery: PodCertificate needs PodCertificateRequests (certificates.k8s.io/v1), and this Kubernetes had none when the manager started. Set tls.delivery to Secret, or upgrade to Kubernetes 1.37 or later and restart the manager")
		return
	}
	if delivery(s) == v1alpha1.DeliverySecret && !s.AdmissionPolicyInForce {
		p.problem(v1alpha1.ReasonAdmissionPolicyMissing,
			"the MutatingAdmissionPolicy and -Binding erlang-operator-member-identity, which give each pod its own certificate, are not installed. Install the operator again (config/default), on Kubernetes 1.36 or later")
		return
	}
	if s.StatefulSet == nil && (s.Cookie() == nil || s.Trust().Empty()) {
		p.hold(v1alpha1.ReasonProgressing, "waiting for the cookie and the trust bundle, before nodes are started")
		return
	}
	template, err := podTemplate(s)
	if err != nil {
		p.problem(v1alpha1.ReasonRejected, fmt.Sprintf("template: %v", err))
		return
	}
	claims, err := volumeClaims(s.Cluster.Spec.VolumeClaimTemplates)
	if err != nil {
		p.problem(v1alpha1.ReasonRejected, fmt.Sprintf("volumeClaimTemplates: %v", err))
		return
	}
	if changesDelivery(s) {
		for _, pod := range s.Names.Pods(s.Replicas()) {
			if !prepared(s, pod) {
				p.hold(v1alpha1.ReasonCertificatesPending, fmt.Sprintf(
					"waiting for %s, before tls.delivery is changed and the nodes are restarted one by one", awaited(s, pod)))
				return
			}
		}
	}
	replicas := startable(s)
	if replicas < s.Replicas() {
		p.hold(v1alpha1.ReasonCertificatesPending, fmt.Sprintf(
			"waiting for %s, before it is started", awaited(s, s.Names.Pod(replicas))))
	}
	spec := applyapps.StatefulSetSpec().
		WithReplicas(replicas).
		WithServiceName(s.Names.Service()).
		// One at a time in order would deadlock a cluster that needs its quorum to start.
		WithPodManagementPolicy(appsv1.ParallelPodManagement).
		WithSelector(applymeta.LabelSelector().WithMatchLabels(Selector(s.Names.Cluster, ComponentNode))).
		WithTemplate(template).
		WithVolumeClaimTemplates(claims...)
	if policy := s.Cluster.Spec.PersistentVolumeClaimRetentionPolicy; policy != nil {
		retention := applyapps.StatefulSetPersistentVolumeClaimRetentionPolicy()
		if policy.WhenDeleted != "" {
			retention.WithWhenDeleted(policy.WhenDeleted)
		}
		if policy.WhenScaled != "" {
			retention.WithWhenScaled(policy.WhenScaled)
		}
		spec.WithPersistentVolumeClaimRetentionPolicy(retention)
	}
	p.apply(owned(applyapps.StatefulSet(s.Names.StatefulSet(), s.Names.Namespace), s).WithSpec(spec))

	for i := range s.Pods {
		if lacksIdentity(&s.Pods[i]) && s.Pods[i].DeletionTimestamp == nil {
			p.Delete = append(p.Delete, &s.Pods[i])
		}
	}
}

// credentialsAnnotation of a pod names the certificate and the trust bundle that its
// files should hold.
const credentialsAnnotation = v1alpha1.Group + "/credentials"

// refresh has the kubelet bring a pod's files up to date when they should hold
// something else. By itself it does so within some 90 s; a pod that changes it looks
// at once.
func refresh(p *Plan, s state.State) {
	for _, name := range s.Names.Pods(s.Replicas()) {
		pod := s.Pod(name)
		leaf, ok := s.StoredCertificate(name)
		if pod == nil || pod.Status.Phase != corev1.PodRunning || pod.DeletionTimestamp != nil || !ok && !asks(*pod) || s.Trust().Empty() {
			continue // A pod that starts gets what there is.
		}
		files := s.Trust().Identities()
		if !asks(*pod) {
			files = append([]string{certs.Serial(leaf.X509)}, files...)
		}
		credentials := strings.Join(files, ".")
		if pod.Annotations[credentialsAnnotation] != credentials {
			p.Refresh = append(p.Refresh, applycore.Pod(name, s.Names.Namespace).WithUID(pod.UID).
				WithAnnotations(map[string]string{credentialsAnnotation: credentials}))
		}
	}
}

// startable is how many nodes may run: those asked for, as far as their
// certificates are there without a gap. What runs already goes on.
func startable(s state.State) int32 {
	running := int32(0)
	if s.StatefulSet != nil && s.StatefulSet.Spec.Replicas != nil {
		running = *s.StatefulSet.Spec.Replicas
	}
	for ordinal := range s.Replicas() {
		if ordinal >= running && !prepared(s, s.Names.Pod(ordinal)) {
			return ordinal
		}
	}
	return s.Replicas()
}

// lacksIdentity says that a pod slipped past the admission policy, and waits for a
// Secret that will never be there.
func lacksIdentity(pod *corev1.Pod) bool {
	for _, volume := range pod.Spec.Volumes {
		if volume.Name == naming.TLSVolume && volume.Secret != nil {
			return volume.Secret.SecretName == placeholderSecret
		}
	}
	return false
}

// podTemplate is the user's template with what distribution over TLS needs.
func podTemplate(s state.State) (*applycore.PodTemplateSpecApplyConfiguration, error) {
	template := s.Cluster.Spec.Template.DeepCopy()
	inject(template, s)
	return convert[applycore.PodTemplateSpecApplyConfiguration](template)
}

func volumeClaims(claims []corev1.PersistentVolumeClaim) ([]*applycore.PersistentVolumeClaimApplyConfiguration, error) {
	configurations := make([]*applycore.PersistentVolumeClaimApplyConfiguration, 0, len(claims))
	for _, claim := range claims {
		configuration, err := convert[applycore.PersistentVolumeClaimApplyConfiguration](claim)
		if err != nil {
			return nil, err
		}
		configuration.Status = nil
		configurations = append(configurations, configuration)
	}
	return configurations, nil
}

// convert makes an apply configuration of what the user wrote. Both have the same
// form as JSON.
func convert[T any](from any) (*T, error) {
	text, err := json.Marshal(from)
	if err != nil {
		return nil, err
	}
	to := new(T)
	return to, json.Unmarshal(text, to)
}
