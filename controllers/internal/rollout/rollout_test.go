package rollout

import (
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/rotation"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
)

// pods is a cluster in a few words: for each ordinal the template (old, new, or none when
// there is no pod), and what is not as usual: fresh (has never joined), unlinked, unready,
// crashed, restarting (again and again), ended (once), cut (does not answer), sidecar (cut, and a container
// beside the node crashed), terminating.
func pods(text string) state.State {
	words := strings.Fields(text)
	cluster := statetest.MustCluster(fmt.Sprintf(`{metadata: {name: chat}, spec: {replicas: %d, template: {spec: {containers: [{name: chat}]}}}}`, len(words)))
	cluster.Status.Mesh = &v1alpha1.MeshStatus{Components: 1}
	s := state.State{Cluster: cluster, Names: naming.Of(cluster, naming.DefaultDomain), Now: statetest.Now, HeartbeatObserved: statetest.Now,
		StatefulSet: &appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{Replicas: ptr.To(int32(len(words)))}, Status: appsv1.StatefulSetStatus{CurrentRevision: "old", UpdateRevision: "new"}}}
	for ordinal, word := range words {
		if word != "none" {
			addPod(&s, s.Names.Pod(int32(ordinal)), word)
		}
	}
	return s
}

func addPod(s *state.State, name, word string) {
	revision, but, _ := strings.Cut(word, ":")
	condition := func(kind corev1.PodConditionType, holds bool) corev1.PodCondition {
		return corev1.PodCondition{Type: kind, Status: map[bool]corev1.ConditionStatus{true: corev1.ConditionTrue, false: corev1.ConditionFalse}[holds]}
	}
	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Labels: map[string]string{appsv1.ControllerRevisionHashLabelKey: revision}}}
	pod.Spec.Containers = []corev1.Container{{Name: "chat", Env: []corev1.EnvVar{{Name: "ERLANG_OPERATOR_SHARED_FLAGS"}}}, {Name: "side"}}
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = []corev1.PodCondition{condition(v1alpha1.ReadinessGate, but != "fresh"), condition(corev1.PodReady, but == "" || but == "restarting")}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "chat", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
	node := v1alpha1.NodeStatus{Pod: name, PodUID: name, Reason: v1alpha1.ReasonVerified}
	switch but {
	case "unlinked":
		node.Reason = v1alpha1.ReasonCookieMismatch
	case "fresh":
		node.Reason = v1alpha1.ReasonConnectionRefused
	case "crashed":
		node.Reason, pod.Status.ContainerStatuses[0].State = v1alpha1.ReasonConnectionRefused, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	case "restarting":
		pod.Status.ContainerStatuses[0].RestartCount = 2
		pod.Status.ContainerStatuses[0].State.Running.StartedAt = metav1.NewTime(s.Now)
		pod.Status.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 137}
	case "ended":
		node.Reason, pod.Status.ContainerStatuses[0].State = v1alpha1.ReasonConnectionRefused, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}}
	case "cut":
		node.Reason = v1alpha1.ReasonConnectionTimedOut
	case "sidecar":
		node.Reason = v1alpha1.ReasonConnectionTimedOut
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{Name: "side", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}})
	case "terminating":
		pod.DeletionTimestamp = &metav1.Time{Time: s.Now}
	}
	s.Pods, s.Cluster.Status.Mesh.Nodes = append(s.Pods, pod), append(s.Cluster.Status.Mesh.Nodes, node)
}

func (s Step) describe() string {
	text := s.String()
	if !s.UnderWay() {
		text = "Settled"
	}
	if s.Latest {
		text = "[latest] " + text
	}
	for _, pod := range s.Replace {
		text += "; replaces " + pod.Name
	}
	return text
}

func TestNext(t *testing.T) {
	paused := func(s *state.State) { s.Cluster.Spec.Rollout.Paused = true }
	two := func(s *state.State) { s.Cluster.Spec.Rollout.MaxUnavailable = ptr.To(intstr.FromInt32(2)) }
	half := func(s *state.State) { s.Cluster.Spec.Rollout.MaxUnavailable = ptr.To(intstr.FromString("50%")) }
	partition := func(s *state.State) { s.Cluster.Spec.Rollout.Partition = 2 }
	silent := func(s *state.State) { s.Now = s.Now.Add(2 * state.HeartbeatTimeout) }
	unobserved := func(strategy appsv1.StatefulSetUpdateStrategyType) func(*state.State) {
		return func(s *state.State) { s.StatefulSet.Generation, s.StatefulSet.Spec.UpdateStrategy.Type = 2, strategy }
	}
	onDelete := func(s *state.State) { s.StatefulSet.Spec.UpdateStrategy.Type = appsv1.OnDeleteStatefulSetStrategyType }
	three := func(s *state.State) {
		s.StatefulSet.Spec.Replicas, s.StatefulSet.Spec.UpdateStrategy.Type = ptr.To(int32(3)), appsv1.OnDeleteStatefulSetStrategyType
	}
	zero := func(s *state.State) {
		s.StatefulSet.Spec.Replicas, s.StatefulSet.Status.CurrentRevision = ptr.To(int32(0)), "new"
	}
	and := func(one, other func(*state.State)) func(*state.State) {
		return func(s *state.State) { one(s); other(s) }
	}
	reverted := func(s *state.State) { s.StatefulSet.Status.CurrentRevision = "new" }
	for name, test := range map[string]struct {
		pods   string
		change func(*state.State)
		want   string
	}{
		"the highest ordinal first":              {"old old old", nil, "[latest] Pod chat-2 is next, waiting for pod chat-2 to terminate; replaces chat-2"},
		"while it terminates":                    {"old old old:terminating", nil, "[latest] Pod chat-2 is next, waiting for pod chat-2 to terminate"},
		"before it is created again":             {"old old none", nil, "[latest] Pod chat-2 is next, waiting for pod chat-2 to be created"},
		"until it has joined":                    {"old old new:fresh", nil, "Pod chat-1 is next, waiting for the node of pod chat-2 to be linked to the others"},
		"until it is Ready":                      {"old old new:unready", nil, "Pod chat-1 is next, waiting for pod chat-2 to be Ready"},
		"until it keeps running":                 {"old old new:restarting", nil, "Pod chat-1 is next, waiting for the containers of pod chat-2 to keep running"},
		"linked, but restarting":                 {"old:restarting old:restarting", nil, "[latest] Pod chat-1 is next, waiting for pod chat-1 to terminate; replaces chat-1"},
		"then the one below":                     {"old old new", nil, "[latest] Pod chat-1 is next, waiting for pod chat-1 to terminate; replaces chat-1"},
		"the last":                               {"new:fresh new new", nil, "Waiting for the node of pod chat-0 to be linked to the others"},
		"the controller's end":                   {"new new new", nil, "Waiting for the StatefulSet controller to end the rollout"},
		"settled":                                {"new new new", reverted, "Settled"},
		"settled, a pod gone":                    {"new none new", reverted, "Settled"},
		"the one that is away first":             {"old:unlinked old old", nil, "[latest] Pod chat-0 is next, waiting for pod chat-0 to terminate; replaces chat-0"},
		"a drained pod gets the former template": {"none old new:fresh", nil, "Pod chat-0 is next, waiting for the node of pod chat-2 to be linked to the others"},
		"linked, but none Ready: one by one":     {"old:unready old:unready old:unready", nil, "[latest] Pod chat-2 is next, waiting for pod chat-2 to terminate; replaces chat-2"},
		"linked, but still none Ready":           {"old:unready old:unready new:unready", nil, "Pod chat-1 is next, waiting for pod chat-2 to be Ready"},
		"the broken first":                       {"old:crashed old:fresh old", nil, "[latest] Pod chat-1 is next, waiting for pod chat-1 to terminate; replaces chat-1"},
		"all that fail at once":                  {"old:crashed old:crashed new", nil, "[latest] Pod chat-1 is next, waiting for pod chat-1 to terminate; replaces chat-1; replaces chat-0"},
		"all that failed are gone":               {"none old:terminating none", nil, "[latest] Pod chat-2 is next, waiting for pod chat-2 to be created"},
		"the broken while one is away":           {"old:crashed old new:fresh", nil, "Pod chat-0 is next, waiting for the node of pod chat-2 to be linked to the others"},
		"the broken while one is not Ready":      {"old:crashed old new:unready", nil, "[latest] Pod chat-0 is next, waiting for pod chat-0 to terminate; replaces chat-0"},
		"a container starts again":               {"old:ended old new:fresh", nil, "Pod chat-0 is next, waiting for the node of pod chat-2 to be linked to the others"},
		"a drained pod, the latest fails":        {"none new:crashed", nil, "Pod chat-0 is next, waiting for the node of pod chat-1 to be linked to the others"},
		"a failed template is reverted":          {"new new old:fresh", reverted, "[latest] Pod chat-2 is next, waiting for pod chat-2 to terminate; replaces chat-2"},
		"cut off":                                {"old:cut old:cut old", nil, "Pod chat-1 is next, waiting for the network to pod chat-1, which may be cut off from the others"},
		"cut off, with sidecars that fail":       {"old:sidecar old:sidecar old:sidecar", nil, "[latest] Pod chat-2 is next, waiting for pod chat-2 to terminate; replaces chat-2"},
		"the first of them is not linked yet":    {"old:sidecar old:sidecar new:fresh", nil, "Pod chat-1 is next, waiting for the node of pod chat-2 to be linked to the others"},
		"cut off by a silent probe":              {"old:sidecar old:sidecar old:sidecar", silent, "Pod chat-2 is next, waiting for the probe to report"},
		"an updated pod is evicted":              {"old old new:terminating", nil, "[latest] Pod chat-1 is next, waiting for pod chat-2 to terminate"},
		"an updated pod was evicted, paused":     {"old old none", and(paused, onDelete), "[latest] Pod chat-2 is next, waiting for rollout.paused to be removed"},
		"a former pod is evicted, paused":        {"old old:terminating new", and(paused, onDelete), "Pod chat-1 is next, waiting for rollout.paused to be removed"},
		"a former pod was evicted, paused":       {"old none new", paused, "Pod chat-1 is next, waiting for rollout.paused to be removed"},
		"both were evicted, paused":              {"old old:terminating new:terminating", paused, "Pod chat-1 is next, waiting for rollout.paused to be removed"},
		"the canary is evicted":                  {"old old new:terminating", partition, "[latest] Waiting for pod chat-2 to terminate"},
		"one below the partition is evicted":     {"old old:terminating new", partition, "Settled"},
		"scaled to zero":                         {"", zero, "Settled"},
		"scaled up from zero":                    {"none none", zero, "[latest] Settled"},
		"scaled up from zero, paused":            {"none none", and(zero, paused), "Settled"},
		"scaled up, an updated pod is evicted":   {"old old new:terminating none none", three, "Pod chat-4 is next, waiting for pod chat-2 to terminate"},
		"scaled up with another template":        {"none none none", onDelete, "[latest] Pod chat-2 is next, waiting for pod chat-2 to be created"},
		"unlinked one by one":                    {"old:unlinked old:unlinked old:unlinked", nil, "[latest] Pod chat-2 is next, waiting for pod chat-2 to terminate; replaces chat-2"},
		"unlinked while one is replaced":         {"old:unlinked old:unlinked new:fresh", nil, "Pod chat-1 is next, waiting for the node of pod chat-2 to be linked to the others"},
		"two at a time":                          {"old old new:fresh", two, "[latest] Pod chat-1 is next, waiting for pod chat-1 to terminate; replaces chat-1"},
		"half of two":                            {"old old:terminating", half, "[latest] Pod chat-1 is next, waiting for pod chat-1 to terminate"},
		"half of four":                           {"old old old old:terminating", half, "[latest] Pod chat-3 is next, waiting for pod chat-3 to terminate"},
		"paused":                                 {"old old new", paused, "Pod chat-1 is next, waiting for rollout.paused to be removed"},
		"paused, broken":                         {"old:crashed old new", paused, "Pod chat-0 is next, waiting for rollout.paused to be removed"},
		"suspended":                              {"old:crashed old new", func(s *state.State) { s.Cluster.Spec.Suspend = true }, "Pod chat-0 is next, waiting for suspend to be removed"},
		"a partition":                            {"old old old", partition, "[latest] Pod chat-2 is next, waiting for pod chat-2 to terminate; replaces chat-2"},
		"a partition, complete":                  {"old old new", partition, "Settled"},
		"a partition, joining":                   {"old old new:fresh", partition, "Waiting for the node of pod chat-2 to be linked to the others"},
		"a partitioned mesh":                     {"old old old", func(s *state.State) { s.Cluster.Status.Mesh.Components = 2 }, "Pod chat-2 is next, waiting for the parts of the mesh to be linked to each other"},
		"a silent probe":                         {"old old old", silent, "Pod chat-2 is next, waiting for the probe to report"},
		"a silent probe, none has joined":        {"old:fresh old:fresh old:fresh", silent, "[latest] Pod chat-2 is next, waiting for pod chat-2 to terminate; replaces chat-2"},
		"a silent probe, one is replaced":        {"old:fresh old:fresh new:fresh", silent, "Pod chat-1 is next, waiting for the node of pod chat-2 to be linked to the others"},
		"no report yet":                          {"old old old", func(s *state.State) { s.Cluster.Status.Mesh = nil }, "Pod chat-2 is next, waiting for the probe to report"},
		"no report yet, broken":                  {"old:crashed old old:fresh", func(s *state.State) { s.Cluster.Status.Mesh = nil }, "[latest] Pod chat-0 is next, waiting for pod chat-0 to terminate; replaces chat-0"},
		"a silent probe, broken":                 {"old:crashed old old", silent, "[latest] Pod chat-0 is next, waiting for pod chat-0 to terminate; replaces chat-0"},
		"a template not observed yet":            {"old old old", unobserved(appsv1.RollingUpdateStatefulSetStrategyType), "Waiting for the StatefulSet controller to observe the latest template"},
		"a strategy not observed yet":            {"old old old", unobserved(appsv1.OnDeleteStatefulSetStrategyType), "[latest] Waiting for the StatefulSet controller to observe the latest template"},
		"unlinked below the partition":           {"old:unlinked old old", partition, "Pod chat-2 is next, waiting for the node of pod chat-0 to be linked to the others"},
	} {
		t.Run(name, func(t *testing.T) {
			s := pods(test.pods)
			if test.change != nil {
				test.change(&s)
			}
			if got := Next(s, nil).describe(); got != test.want {
				t.Errorf("%s\n got %s\nwant %s", test.pods, got, test.want)
			}
		})
	}
}

// A StatefulSet that its controller has not seen yet rolls out nothing. One with another template does.
func TestNewStatefulSetIsNoRollout(t *testing.T) {
	s := pods("none none")
	s.StatefulSet.Generation = 1
	if step := Next(s, nil); step.UnderWay() {
		t.Errorf("new: %s", step)
	}
	s.StatefulSet.Status.ObservedGeneration, s.StatefulSet.Generation = 1, 2
	if step := Next(s, nil); !step.UnderWay() || step.Latest {
		t.Errorf("another template: %s", step)
	}
	s = pods("old old")
	s.StatefulSet.Generation = 1
	if step := Next(s, nil); !step.UnderWay() {
		t.Errorf("it was deleted and created again, and its pods stayed: %s", step)
	}
}

// A StatefulSet that was made again may have the status of the one before it, which had more generations: its strategy, which
// somebody has edited, is put back, and a rollout goes on.
func TestStatusOfAFormerStatefulSet(t *testing.T) {
	s := pods("new new")
	s.StatefulSet.Status.ObservedGeneration, s.StatefulSet.Generation = 4, 2
	s.StatefulSet.Spec.UpdateStrategy.Type = appsv1.OnDeleteStatefulSetStrategyType
	if step := Next(s, nil); step.Latest {
		t.Errorf("all have the latest template: %s", step)
	}
	s = pods("old old")
	s.StatefulSet.Status.ObservedGeneration, s.StatefulSet.Generation = 4, 2
	if step := Next(s, nil); len(step.Replace) != 1 {
		t.Errorf("no pod is replaced: %s", step)
	}
}

func TestRotationKeepsLinkedNodes(t *testing.T) {
	for _, phase := range []v1alpha1.RotationPhase{v1alpha1.RotationDistributingCookie, v1alpha1.RotationChangingCookie} {
		rotations := []rotation.Step{{Credential: v1alpha1.RotatingCookie, Phase: phase, WaitingFor: "chat-0"}}
		if step := Next(pods("old old old"), rotations); len(step.Replace) > 0 {
			t.Errorf("%s: %s is replaced", phase, step.Replace[0].Name)
		}
		if step := Next(pods("old:crashed old old"), rotations); len(step.Replace) != 1 {
			t.Errorf("%s: the broken pod is not replaced: %s", phase, step)
		}
	}
}

// Whatever pods do meanwhile: no linked node is restarted while as many others are away as
// may be; and once all faults are over, the rollout comes to its end.
func TestRolloutKeepsTheMeshAndEnds(t *testing.T) {
	faults := []string{"", "", "", ":unready", ":unlinked", ":crashed", ":fresh", ":cut"}
	rapid.Check(t, func(t *rapid.T) {
		cluster := make([]string, rapid.IntRange(1, 6).Draw(t, "replicas"))
		for i := range cluster {
			cluster[i] = "old"
		}
		for pass := range 40 {
			if pass < 20 && rapid.Bool().Draw(t, "faulty") {
				at := rapid.IntRange(0, len(cluster)-1).Draw(t, "at")
				revision, _, _ := strings.Cut(cluster[at], ":")
				cluster[at] = revision + rapid.SampledFrom(faults).Draw(t, "fault")
			} else if pass >= 20 {
				for i := range cluster {
					cluster[i], _, _ = strings.Cut(cluster[i], ":")
				}
			}
			s := pods(strings.Join(cluster, " "))
			step := Next(s, nil)
			for _, replaced := range step.Replace {
				for i, m := range members(s) {
					if m.name != replaced.Name {
						continue
					}
					if m.linked && len(step.Replace) > 1 || m.linked && away(s, i) > 0 {
						t.Fatalf("%s: %s", cluster, step.describe())
					}
					cluster[i] = "new:fresh"
				}
			}
		}
		if got := Next(pods(strings.Join(cluster, " ")), nil).describe(); got != "Waiting for the StatefulSet controller to end the rollout" {
			t.Fatalf("%s: %s", cluster, got)
		}
	})
}

// away counts the members that are away, without one of them.
func away(s state.State, without int) int {
	n := 0
	for i, m := range members(s) {
		if i != without && m.away() {
			n++
		}
	}
	return n
}

// With a StatefulSet that takes its time to end and to create pods, and pods that are deleted
// by others: no pod is replaced again and again, so that each has time to join; a template
// that fails takes no more than one linked node; and one that works comes to its end.
func TestRolloutReplacesNoPodAgainAndAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		former := rapid.SampledFrom([]string{"", ":crashed", ":fresh"}).Draw(t, "former")
		latest := rapid.SampledFrom([]string{"", ":crashed", ":fresh"}).Draw(t, "latest")
		cluster, replaced, deleted := make([]string, rapid.IntRange(1, 5).Draw(t, "replicas")), 0, 0
		for i := range cluster {
			cluster[i] = "old" + former
		}
		strategy := appsv1.RollingUpdateStatefulSetStrategyType
		for pass := range 120 {
			s := pods(strings.Join(cluster, " "))
			s.StatefulSet.Spec.UpdateStrategy.Type = strategy
			step := Next(s, nil)
			for _, pod := range step.Replace {
				if strategy == appsv1.OnDeleteStatefulSetStrategyType {
					ordinal, _ := s.Names.Ordinal(pod.Name)
					cluster[ordinal] = "old:terminating"
					replaced++
				}
			}
			strategy = map[bool]appsv1.StatefulSetUpdateStrategyType{true: appsv1.OnDeleteStatefulSetStrategyType, false: appsv1.RollingUpdateStatefulSetStrategyType}[step.Latest]
			at := pass % len(cluster)
			if pass < 60 {
				at = rapid.IntRange(0, len(cluster)-1).Draw(t, "at")
			}
			switch revision, _, _ := strings.Cut(cluster[at], ":"); {
			case strings.HasSuffix(cluster[at], ":terminating"):
				cluster[at] = "none"
			case revision == "none" && step.Latest:
				cluster[at] = "new:fresh"
			case revision == "none":
				cluster[at] = "old:fresh"
			case pass < 60 && deleted < 2 && rapid.IntRange(0, 20).Draw(t, "deleted") == 0:
				cluster[at] = revision + ":terminating"
				deleted++
			default:
				cluster[at] = revision + map[string]string{"old": former, "new": latest}[revision]
			}
		}
		if allowed := len(cluster) + 2*deleted; replaced > allowed {
			t.Fatalf("%d replacements of %d pods, of which others deleted %d: %s", replaced, len(cluster), deleted, cluster)
		}
		if left := strings.Count(strings.Join(cluster, " "), "old"); latest == "" && left > 0 {
			t.Fatalf("not replaced: %s", cluster)
		} else if former == "" && latest != "" && deleted == 0 && left < len(cluster)-1 {
			t.Fatalf("a template that fails has spread: %s", cluster)
		}
	})
}
