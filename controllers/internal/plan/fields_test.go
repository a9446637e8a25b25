package plan_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
)

// A change is another value for one field of the spec.
type change struct {
	// from prepares a spec in which the field matters; nil when it always does.
	from func(*v1alpha1.ErlangClusterSpec)
	to   func(*v1alpha1.ErlangClusterSpec)
	// probe: only the probe reads the field, so that a change restarts nothing.
	probe bool
}

// changes has one for every field of ours. A new field needs one here.
var changes = map[string]change{
	"replicas":  {to: func(s *v1alpha1.ErlangClusterSpec) { s.Replicas = ptr.To[int32](2) }},
	"suspend":   {to: func(s *v1alpha1.ErlangClusterSpec) { s.Suspend = true }},
	"container": {to: func(s *v1alpha1.ErlangClusterSpec) { s.Container = "proxy" }},
	"template": {to: func(s *v1alpha1.ErlangClusterSpec) {
		s.Template.Spec.TerminationGracePeriodSeconds = ptr.To[int64](7)
	}},
	"runtime": {to: func(s *v1alpha1.ErlangClusterSpec) { s.Runtime = v1alpha1.RuntimeMix }},
	"visitors": {
		from: func(s *v1alpha1.ErlangClusterSpec) {
			s.Template.Spec.Containers[0].LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"ping"}}}}
		},
		to: func(s *v1alpha1.ErlangClusterSpec) { s.Visitors = v1alpha1.Unmanaged }},
	"volumeClaimTemplates": {to: func(s *v1alpha1.ErlangClusterSpec) {
		claim := corev1.PersistentVolumeClaim{}
		claim.Name = "mnesia"
		s.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{claim}
	}},
	"persistentVolumeClaimRetentionPolicy": {to: func(s *v1alpha1.ErlangClusterSpec) {
		s.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{WhenDeleted: "Delete"}
	}},
	"distribution.nodeBasename": {to: func(s *v1alpha1.ErlangClusterSpec) { s.Distribution.NodeBasename = "talk" }},
	"distribution.ipFamily":     {to: func(s *v1alpha1.ErlangClusterSpec) { s.Distribution.IPFamily = v1alpha1.IPv6 }},
	"distribution.formation":    {to: func(s *v1alpha1.ErlangClusterSpec) { s.Distribution.Formation = v1alpha1.FormationApplication }, probe: true},
	"distribution.discovery":    {to: func(s *v1alpha1.ErlangClusterSpec) { s.Distribution.Discovery = v1alpha1.DiscoveryFixedPort }},
	"distribution.serviceMesh":  {to: func(s *v1alpha1.ErlangClusterSpec) { s.Distribution.ServiceMesh = v1alpha1.ServiceMeshLinkerd }},
	"distribution.ports.min":    {to: func(s *v1alpha1.ErlangClusterSpec) { s.Distribution.Ports.Min = 9099 }},
	"distribution.ports.max":    {to: func(s *v1alpha1.ErlangClusterSpec) { s.Distribution.Ports.Max = 9110 }},
	"distribution.socket.buffer": {to: func(s *v1alpha1.ErlangClusterSpec) {
		s.Distribution.Socket.Buffer = ptr.To(resource.MustParse("128Ki"))
	}},
	"cookie.secretKeyRef.name": {
		to: func(s *v1alpha1.ErlangClusterSpec) {
			s.Cookie.SecretKeyRef = &v1alpha1.SecretKeyReference{Name: "legacy", Key: "cookie"}
		}},
	"cookie.secretKeyRef.key": {
		from: func(s *v1alpha1.ErlangClusterSpec) {
			s.Cookie.SecretKeyRef = &v1alpha1.SecretKeyReference{Name: "legacy", Key: "cookie"}
		},
		// The observer reads that key; the plan names it when it is not there.
		to: func(s *v1alpha1.ErlangClusterSpec) { s.Cookie.SecretKeyRef.Key = "erlang.cookie" }},
	"cookie.rotationID":           {to: func(s *v1alpha1.ErlangClusterSpec) { s.Cookie.RotationID = "2026-11" }},
	"tls.issuerRef.name":          {from: corporate, to: func(s *v1alpha1.ErlangClusterSpec) { s.TLS.IssuerRef.Name = "other" }},
	"tls.issuerRef.kind":          {from: corporate, to: func(s *v1alpha1.ErlangClusterSpec) { s.TLS.IssuerRef.Kind = "Issuer" }},
	"tls.issuerRef.group":         {from: corporate, to: func(s *v1alpha1.ErlangClusterSpec) { s.TLS.IssuerRef.Group = "example.com" }},
	"tls.certificate.duration":    {to: func(s *v1alpha1.ErlangClusterSpec) { s.TLS.Certificate.Duration = "721h" }},
	"tls.certificate.renewBefore": {to: func(s *v1alpha1.ErlangClusterSpec) { s.TLS.Certificate.RenewBefore = "241h" }},
	"tls.ca.duration":             {to: func(s *v1alpha1.ErlangClusterSpec) { s.TLS.CA.Duration = "9000h" }},
	"tls.delivery":                {to: func(s *v1alpha1.ErlangClusterSpec) { s.TLS.Delivery = v1alpha1.DeliveryPodCertificate }},
	"tls.ca.rotationID":           {to: func(s *v1alpha1.ErlangClusterSpec) { s.TLS.CA.RotationID = "2026-11" }},
	"rollout.maxUnavailable":      {to: func(s *v1alpha1.ErlangClusterSpec) { s.Rollout.MaxUnavailable = ptr.To(intstr.FromInt32(2)) }},
	"rollout.paused":              {from: twoAtATime, to: func(s *v1alpha1.ErlangClusterSpec) { s.Rollout.Paused = true }},
	"rollout.partition":           {from: twoAtATime, to: func(s *v1alpha1.ErlangClusterSpec) { s.Rollout.Partition = 2 }},
	"networkPolicy.mode":          {to: func(s *v1alpha1.ErlangClusterSpec) { s.NetworkPolicy.Mode = v1alpha1.NetworkPolicyUnmanaged }},
	"probe.resources": {to: func(s *v1alpha1.ErlangClusterSpec) {
		s.Probe.Resources = &corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}}
	}},
	"probe.tolerations": {to: func(s *v1alpha1.ErlangClusterSpec) {
		s.Probe.Tolerations = []corev1.Toleration{{Key: "dedicated", Operator: corev1.TolerationOpExists}}
	}},
	"probe.nodeSelector": {to: func(s *v1alpha1.ErlangClusterSpec) { s.Probe.NodeSelector = map[string]string{"pool": "small"} }},
	"probe.affinity": {to: func(s *v1alpha1.ErlangClusterSpec) {
		s.Probe.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{}}
	}},
	"probe.topologySpreadConstraints": {to: func(s *v1alpha1.ErlangClusterSpec) {
		s.Probe.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: "zone", WhenUnsatisfiable: corev1.ScheduleAnyway}}
	}},
	"probe.priorityClassName": {to: func(s *v1alpha1.ErlangClusterSpec) { s.Probe.PriorityClassName = "high" }},
	"probe.imagePullSecrets": {to: func(s *v1alpha1.ErlangClusterSpec) {
		s.Probe.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "registry"}}
	}},
	"probe.labels":      {to: func(s *v1alpha1.ErlangClusterSpec) { s.Probe.Labels = map[string]string{"team": "red"} }},
	"probe.annotations": {to: func(s *v1alpha1.ErlangClusterSpec) { s.Probe.Annotations = map[string]string{"team": "red"} }},
	"probe.serviceAccountAnnotations": {to: func(s *v1alpha1.ErlangClusterSpec) {
		s.Probe.ServiceAccountAnnotations = map[string]string{"role": "reader"}
	}},
	"podDisruptionBudget.mode": {to: func(s *v1alpha1.ErlangClusterSpec) { s.PodDisruptionBudget.Mode = v1alpha1.Unmanaged }},
}

func twoAtATime(s *v1alpha1.ErlangClusterSpec) {
	s.Rollout.MaxUnavailable = ptr.To(intstr.FromInt32(2))
}

func corporate(s *v1alpha1.ErlangClusterSpec) {
	s.TLS.IssuerRef = &v1alpha1.IssuerReference{Name: "corp", Kind: "ClusterIssuer", Group: "cert-manager.io"}
}

// Whatever a user may write must make a difference.
func TestNoFieldOfTheSpecIsDead(t *testing.T) {
	fields := leaves(reflect.TypeFor[v1alpha1.ErlangClusterSpec](), "")
	for _, field := range fields {
		t.Run(field, func(t *testing.T) {
			change, ok := changes[field]
			if !ok {
				t.Fatalf("no change is known for spec.%s: add one", field)
			}
			state := load(t, "credentials-there")
			state.Cluster.Spec.Template.Spec.Containers = append(state.Cluster.Spec.Template.Spec.Containers,
				corev1.Container{Name: "proxy", Image: "example.com/proxy:3"})
			if change.from != nil {
				change.from(&state.Cluster.Spec)
			}
			before, set := planOf(t, state.Cluster.Spec), toYAML(t, statefulSet(plan.Make(state, operator, freshCookie)))
			change.to(&state.Cluster.Spec)
			if after := toYAML(t, statefulSet(plan.Make(state, operator, freshCookie))); strings.HasPrefix(field, "probe.") && after != set {
				t.Errorf("spec.%s changes the StatefulSet:\n%s", field, cmp.Diff(set, after))
			}
			if same := planOf(t, state.Cluster.Spec) == before; same != change.probe {
				t.Errorf("spec.%s changes nothing in the plan: %t, want %t", field, same, change.probe)
			}
		})
	}
	for field := range changes {
		if !slices.Contains(fields, field) {
			t.Errorf("spec.%s does not exist any more", field)
		}
	}
}

// planOf is the plan of a spec in a cluster whose credentials are there.
func planOf(t *testing.T, spec v1alpha1.ErlangClusterSpec) string {
	t.Helper()
	loaded := load(t, "credentials-there")
	cluster := loaded.Cluster.DeepCopy()
	cluster.Spec = spec
	situation := situationOf(t, "credentials-there")
	whole := render(t, plan.Make(situation.Seen(cluster), operator, freshCookie))
	// A cookie that is there stays, whatever the spec says.
	situation.Cookie, situation.UserCookie = "", &statetest.UserCookie{}
	whole += render(t, plan.Make(situation.Seen(cluster), operator, freshCookie))
	return whole + render(t, plan.Make(rollingOut(situationOf(t, "credentials-there").Seen(cluster)), operator, freshCookie))
}

// rollingOut has the last of three pods replaced by one of the latest template, which has not
// joined yet.
func rollingOut(s state.State) state.State {
	s.StatefulSet = &appsv1.StatefulSet{Status: appsv1.StatefulSetStatus{CurrentRevision: "old", UpdateRevision: "new"}}
	s.Cluster.Status.Mesh = &v1alpha1.MeshStatus{Components: 1}
	s.HeartbeatObserved = s.Now
	for name, revision := range map[string]string{"chat-0": "old", "chat-1": "old", "chat-2": "new"} {
		pod := corev1.Pod{}
		pod.Name, pod.UID, pod.Labels = name, types.UID(name), map[string]string{appsv1.ControllerRevisionHashLabelKey: revision}
		pod.Status.Conditions = []corev1.PodCondition{{Type: v1alpha1.ReadinessGate, Status: corev1.ConditionTrue}}
		pod.Status.Phase = corev1.PodRunning
		s.Pods = append(s.Pods, pod)
		if revision == "old" {
			s.Cluster.Status.Mesh.Nodes = append(s.Cluster.Status.Mesh.Nodes, v1alpha1.NodeStatus{Pod: name, PodUID: name, Reason: v1alpha1.ReasonVerified})
		}
	}
	return s
}

// leaves are the paths of the fields of ours, as in JSON; Kubernetes' own types are
// leaves.
func leaves(kind reflect.Type, path string) []string {
	if kind.Kind() == reflect.Pointer {
		kind = kind.Elem()
	}
	if kind.Kind() != reflect.Struct || !strings.HasSuffix(kind.PkgPath(), "/api/v1alpha1") {
		return []string{strings.TrimPrefix(path, ".")}
	}
	var all []string
	for i := range kind.NumField() {
		field := kind.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		all = append(all, leaves(field.Type, path+"."+name)...)
	}
	return all
}

// What the user writes into the template arrives in the StatefulSet unchanged,
// field by field, beside what is added.
func TestTemplateArrivesWhole(t *testing.T) {
	for _, dir := range []string{"user-template", "credentials-there"} {
		state := load(t, dir)
		state.Cluster.Spec.Runtime, state.Cluster.Spec.Visitors = v1alpha1.RuntimeCustom, v1alpha1.Unmanaged // Commands stay.
		var got corev1.PodTemplateSpec
		convert(t, statefulSet(plan.Make(state, operator, freshCookie)).Spec.Template, &got)
		want := state.Cluster.Spec.Template

		delete(got.Labels, plan.LabelComponent)
		delete(got.Labels, plan.LabelCluster)
		delete(want.Labels, plan.LabelCluster) // reserved: ours wins
		delete(got.Annotations, plan.AnnotationTemplateDefaults)
		if len(want.Spec.TopologySpreadConstraints) == 0 {
			got.Spec.TopologySpreadConstraints, got.Spec.Affinity = nil, nil
		}
		ours := func(name string) bool { return strings.HasPrefix(name, "erlang-operator-") }
		got.Spec.ReadinessGates = slices.DeleteFunc(got.Spec.ReadinessGates, func(g corev1.PodReadinessGate) bool {
			return g.ConditionType == v1alpha1.ReadinessGate
		})
		got.Spec.Volumes = slices.DeleteFunc(got.Spec.Volumes, func(v corev1.Volume) bool { return ours(v.Name) })
		got.Spec.DeprecatedServiceAccount = "" // an alias
		added := []string{"ERLANG_OPERATOR_POD", "ERLANG_OPERATOR_POD_UID", "ERLANG_NODE", "ERLANG_OPERATOR_SHARED_FLAGS", "ERL_ZFLAGS"}
		for i := range got.Spec.InitContainers {
			want.Spec.InitContainers[i].ImagePullPolicy = corev1.PullIfNotPresent // the default for a tag
		}
		for i := range got.Spec.Containers {
			want.Spec.Containers[i].ImagePullPolicy = corev1.PullIfNotPresent
			if name := got.Spec.Containers[i].Name; name != "chat" {
				continue
			}
			if policy := &want.Spec.Containers[i].TerminationMessagePolicy; *policy == "" {
				*policy = corev1.TerminationMessageFallbackToLogsOnError
			}
			for _, container := range []*corev1.Container{&got.Spec.Containers[i], &want.Spec.Containers[i]} {
				container.VolumeMounts = slices.DeleteFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool { return ours(m.Name) })
				container.Env = slices.DeleteFunc(container.Env, func(e corev1.EnvVar) bool { return slices.Contains(added, e.Name) })
			}
		}
		if diff := cmp.Diff(toYAML(t, want), strings.ReplaceAll(toYAML(t, got), "metadata:\n  labels: {}\n", "")); diff != "" {
			t.Errorf("%s: the user's template (-want +got):\n%s", dir, diff)
		}
	}
}
