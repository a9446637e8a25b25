package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
)

// The defaults of the manager complete spec.probe: maps key by key, anything else as a whole.
func TestProbeSpecHasDefaults(t *testing.T) {
	s, operator := load(t, "credentials-there"), operator
	operator.Probe = v1alpha1.ProbeSpec{
		Tolerations:      []corev1.Toleration{{Key: "infra", Operator: corev1.TolerationOpExists}},
		NodeSelector:     map[string]string{"pool": "infra"},
		ImagePullSecrets: []corev1.LocalObjectReference{{Name: "mirror"}, {Name: "registry"}},
		Labels:           map[string]string{"team": "platform", "cost": "1"},
		Annotations:      map[string]string{"scraped": "no"},
	}
	s.Cluster.Spec.Template.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "registry"}}
	s.Cluster.Spec.Distribution.ServiceMesh = v1alpha1.ServiceMeshLinkerd
	s.Cluster.Spec.Probe = v1alpha1.ProbeSpec{
		NodeSelector: map[string]string{"disk": "ssd"},
		Labels:       map[string]string{"team": "shop", plan.LabelComponent: "node", "app.kubernetes.io/name": "chat"},
	}
	got := probePod(t, plan.Make(s, operator, freshCookie))
	for what, both := range map[string][2]any{
		"tolerations":          {operator.Probe.Tolerations, got.Spec.Tolerations[:1]},
		"taints it soon flees": {[]string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable}, []string{got.Spec.Tolerations[1].Key, got.Spec.Tolerations[2].Key}},
		"nodeSelector":         {s.Cluster.Spec.Probe.NodeSelector, got.Spec.NodeSelector},
		"imagePullSecrets":     {[]corev1.LocalObjectReference{{Name: "registry"}, {Name: "mirror"}}, got.Spec.ImagePullSecrets},
		"label team":           {"shop", got.Labels["team"]},
		"label cost":           {"1", got.Labels["cost"]},
		"label of component":   {plan.ComponentProbe, got.Labels[plan.LabelComponent]},
		"recommended label":    {"chat", got.Labels["app.kubernetes.io/name"]},
		"annotation":           {"no", got.Annotations["scraped"]},
		"annotation of a mesh": {"9100-9109,4369", got.Annotations["config.linkerd.io/skip-outbound-ports"]},
		"memory":               {"128Mi", got.Spec.Containers[0].Resources.Limits.Memory().String()},
	} {
		if diff := cmp.Diff(both[0], both[1]); diff != "" {
			t.Errorf("%s of the probe's pod (-want +got):\n%s", what, diff)
		}
	}
}

// The probe's pod soon leaves a machine that is lost, unless spec.probe says how long it stays.
func TestProbeLeavesLostMachines(t *testing.T) {
	const notReady, unreachable = corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable
	for name, test := range map[string]struct {
		own  corev1.Toleration
		want []string
	}{
		"another taint":      {corev1.Toleration{Key: "infra"}, []string{notReady, unreachable}},
		"how long it stays":  {corev1.Toleration{Key: unreachable, Effect: corev1.TaintEffectNoExecute}, []string{notReady}},
		"any effect":         {corev1.Toleration{Key: unreachable}, []string{notReady}},
		"where it may start": {corev1.Toleration{Key: unreachable, Effect: corev1.TaintEffectNoSchedule}, []string{notReady, unreachable}},
	} {
		s := load(t, "credentials-there")
		test.own.Operator = corev1.TolerationOpExists
		s.Cluster.Spec.Probe.Tolerations = []corev1.Toleration{test.own}
		var got []string
		for _, toleration := range probePod(t, plan.Make(s, operator, freshCookie)).Spec.Tolerations {
			if toleration.TolerationSeconds != nil {
				got = append(got, toleration.Key)
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: taints that it soon flees (-want +got):\n%s", name, diff)
		}
	}
}

func probePod(t *testing.T, p plan.Plan) corev1.PodTemplateSpec {
	t.Helper()
	for _, configuration := range p.Apply {
		if *configuration.GetKind() == "Deployment" {
			var deployment appsv1.Deployment
			convert(t, configuration, &deployment)
			return deployment.Spec.Template
		}
	}
	t.Fatal("the plan has no Deployment")
	return corev1.PodTemplateSpec{}
}

// The Lease of a silent probe is released as it was observed, unless the cluster is suspended.
func TestSilentLeaseIsReleased(t *testing.T) {
	s := load(t, "credentials-there")
	if released := plan.Make(s, operator, freshCookie).Release; released != nil {
		t.Errorf("released: %+v", released)
	}
	s.SilentLease = &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: "chat-probe", ResourceVersion: "7"},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: ptr.To("chat-probe-a"), LeaseTransitions: ptr.To(int32(3))},
	}
	want := s.SilentLease.DeepCopy()
	want.Spec.HolderIdentity, want.Spec.LeaseDurationSeconds = nil, ptr.To(int32(1))
	if diff := cmp.Diff(want, plan.Make(s, operator, freshCookie).Release); diff != "" {
		t.Errorf("released (-want +got):\n%s", diff)
	}
	s.Cluster.Spec.Suspend = true
	if released := plan.Make(s, operator, freshCookie).Release; released != nil {
		t.Errorf("suspended, and released: %+v", released)
	}
}
