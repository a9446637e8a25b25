package plan_test

import (
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// Whichever version of the defaults a cluster runs with, with its StatefulSet or after that was
// deleted, the next pass of this operator changes nothing of its template.
func TestUpgradeKeepsTheDefaultsOfATemplate(t *testing.T) {
	base := load(t, "converged")
	rapid.Check(t, func(t *rapid.T) {
		s := copied(base)
		drawPlacement(t, &s)
		asks := rapid.SampledFrom([]string{"", "0", "1", "2", "-1", "x"}).Draw(t, "asked for")
		if asks != "" {
			metav1.SetMetaDataAnnotation(&s.Cluster.Spec.Template.ObjectMeta, plan.AnnotationTemplateDefaults, asks)
		}
		runsWith(t, &s, map[string]string{plan.AnnotationTemplateDefaults: strconv.Itoa(rapid.IntRange(0, 1).Draw(t, "former"))})
		before := templateOf(t, s)
		runsWith(t, &s, before.Annotations)
		if rapid.Bool().Draw(t, "StatefulSet deleted, its pods orphaned") {
			s.StatefulSet = nil
		}
		if diff := cmp.Diff(before, templateOf(t, s)); diff != "" {
			t.Fatalf("pods would be restarted (-before +after):\n%s", diff)
		}
	})
}

// A cluster from before there were defaults keeps a template without them, until it is created
// anew.
func TestDefaultsAreForNewClusters(t *testing.T) {
	s := load(t, "converged")
	expect := func(what string, want bool) {
		t.Helper()
		got := templateOf(t, s)
		for part, there := range map[string]bool{
			"annotation": got.Annotations != nil, "affinity": got.Spec.Affinity != nil, "spread": got.Spec.TopologySpreadConstraints != nil,
		} {
			if there != want {
				t.Errorf("%s: the template has %s: %t, want %t", what, part, there, want)
			}
		}
	}
	expect("a StatefulSet", false)
	runsWith(t, &s, nil)
	s.StatefulSet = nil
	expect("orphaned pods", false)
	s.Pods = nil
	expect("nothing yet", true)
}

// Somebody who edits the annotation of the StatefulSet restarts no pod.
func TestEditedDefaultsAreRestored(t *testing.T) {
	s := load(t, "converged")
	runsWith(t, &s, map[string]string{plan.AnnotationTemplateDefaults: "1"})
	want := templateOf(t, s)
	s.StatefulSet.Spec.Template.Annotations = nil
	if diff := cmp.Diff(want, templateOf(t, s)); diff != "" {
		t.Errorf("the template (-want +got):\n%s", diff)
	}
}

// What the user says of the places of pods is not completed; a choice of machines is.
func TestPlacementOfTheUserWins(t *testing.T) {
	s := load(t, "credentials-there")
	rapid.Check(t, func(t *rapid.T) {
		s := copied(s)
		drawPlacement(t, &s)
		want, got := s.Cluster.Spec.Template.Spec, templateOf(t, s).Spec
		if len(want.TopologySpreadConstraints) > 0 || want.Affinity != nil && (want.Affinity.PodAffinity != nil || want.Affinity.PodAntiAffinity != nil) {
			if diff := cmp.Diff([]any{want.TopologySpreadConstraints, want.Affinity}, []any{got.TopologySpreadConstraints, got.Affinity}); diff != "" {
				t.Fatalf("the user's placement (-want +got):\n%s", diff)
			}
			return
		}
		if len(got.TopologySpreadConstraints) != 1 || got.Affinity.PodAntiAffinity == nil {
			t.Fatalf("nodes may be together: %+v, %+v", got.TopologySpreadConstraints, got.Affinity)
		}
		if want.Affinity != nil {
			if diff := cmp.Diff(want.Affinity.NodeAffinity, got.Affinity.NodeAffinity); diff != "" {
				t.Fatalf("the user's machines (-want +got):\n%s", diff)
			}
		}
	})
}

func drawPlacement(t *rapid.T, s *state.State) {
	pod := &s.Cluster.Spec.Template.Spec
	if rapid.Bool().Draw(t, "spread by the user") {
		pod.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{MaxSkew: 3, TopologyKey: "rack", WhenUnsatisfiable: corev1.DoNotSchedule}}
	}
	if !rapid.Bool().Draw(t, "affinity by the user") {
		return
	}
	pod.Affinity = &corev1.Affinity{}
	if rapid.Bool().Draw(t, "machines by the user") {
		pod.Affinity.NodeAffinity = &corev1.NodeAffinity{}
	}
	if rapid.Bool().Draw(t, "apart by the user") {
		pod.Affinity.PodAntiAffinity = &corev1.PodAntiAffinity{}
	}
	if rapid.Bool().Draw(t, "together by the user") {
		pod.Affinity.PodAffinity = &corev1.PodAffinity{}
	}
}

// runsWith gives the StatefulSet and the pods of a cluster these annotations.
func runsWith(t failer, s *state.State, annotations map[string]string) {
	t.Helper()
	s.StatefulSet = s.StatefulSet.DeepCopy()
	s.StatefulSet.Spec.Template.Annotations = annotations
	for i := range s.Pods {
		s.Pods[i].Annotations = annotations
		s.Pods[i].OwnerReferences = nil // as they are once they are orphaned
	}
}

func templateOf(t failer, s state.State) corev1.PodTemplateSpec {
	t.Helper()
	set := statefulSet(plan.Make(s, operator, freshCookie))
	if set == nil {
		t.Fatalf("the plan has no StatefulSet")
	}
	var template appsv1.StatefulSet
	convert(t, set, &template)
	return template.Spec.Template
}
