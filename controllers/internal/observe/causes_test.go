package observe_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
)

// owned is the metadata of an object of the cluster.
func owned(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("uid-of-" + name), Labels: plan.Labels("chat"),
		OwnerReferences: []metav1.OwnerReference{plan.OwnerReference(cluster())}}
}

func statefulSet(replicas int32) *appsv1.StatefulSet {
	return &appsv1.StatefulSet{ObjectMeta: owned("chat"), Spec: appsv1.StatefulSetSpec{Replicas: &replicas}}
}

func podCreated(name string, at time.Time) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, CreationTimestamp: metav1.NewTime(at),
		Labels:          plan.Selector("chat", plan.ComponentNode),
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(statefulSet(3), appsv1.SchemeGroupVersion.WithKind("StatefulSet"))}}}
}

// recorded is an event of the StatefulSet, as its controller records it.
func recorded(at time.Time, reason, note string) *eventsv1.Event {
	return &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", GenerateName: "chat."},
		Regarding:  corev1.ObjectReference{Kind: "StatefulSet", Namespace: "shop", Name: "chat", UID: "uid-of-chat"},
		Reason:     reason, Note: note, DeprecatedLastTimestamp: metav1.NewTime(at),
	}
}

func failed(at time.Time, pod, cause string) *eventsv1.Event {
	return recorded(at, "FailedCreate", fmt.Sprintf("create Pod %s in StatefulSet chat failed error: %s", pod, cause))
}

func succeeded(at time.Time, pod string) *eventsv1.Event {
	return recorded(at, "SuccessfulCreate", fmt.Sprintf("create Pod %s in StatefulSet chat successful", pod))
}

// The cause of a missing pod is the last failure to create it, unless that is over.
func TestCauseOfAMissingPod(t *testing.T) {
	before, then, after := statetest.Now.Add(-2*time.Minute), statetest.Now.Add(-time.Minute), statetest.Now
	namesake := failed(then, "chat-1", "of a StatefulSet that is gone")
	namesake.Regarding.UID = "former"
	series := failed(before, "chat-1", "the series")
	series.Series = &eventsv1.EventSeries{LastObservedTime: metav1.NewMicroTime(after)}
	modern := failed(time.Time{}, "chat-1", "the modern one")
	modern.EventTime = metav1.NewMicroTime(after)
	chat1 := func(cause string) map[string]string { return map[string]string{"chat-1": cause} }
	for name, test := range map[string]struct {
		objects []client.Object
		want    map[string]string
	}{
		"nothing was recorded":           {want: map[string]string{}},
		"it failed":                      {[]client.Object{failed(then, "chat-1", "forbidden")}, chat1("forbidden")},
		"in several lines":               {[]client.Object{failed(then, "chat-1", "invalid:\n\ta\n\tb")}, chat1("invalid:\n\ta\n\tb")},
		"the last one counts":            {[]client.Object{failed(after, "chat-1", "now"), failed(then, "chat-1", "before")}, chat1("now")},
		"events are a series":            {[]client.Object{series, failed(then, "chat-1", "before")}, chat1("the series")},
		"recorded by the newer API":      {[]client.Object{modern, failed(then, "chat-1", "before")}, chat1("the modern one")},
		"combined":                       {[]client.Object{recorded(then, "FailedCreate", "(combined from similar events): create Pod chat-1 in StatefulSet chat failed error: forbidden")}, chat1("forbidden")},
		"by Kubernetes 1.37":             {[]client.Object{recorded(then, "FailedCreate", "Create Pod chat-1 in StatefulSet chat failed error: forbidden")}, chat1("forbidden")},
		"another pod exists since":       {[]client.Object{failed(then, "chat-1", "forbidden"), podCreated("chat-0", after)}, map[string]string{}},
		"another pod exists before":      {[]client.Object{failed(then, "chat-1", "forbidden"), podCreated("chat-0", then)}, chat1("forbidden")},
		"it was created since, and left": {[]client.Object{failed(then, "chat-1", "forbidden"), succeeded(after, "chat-1")}, map[string]string{}},
		"it was created before":          {[]client.Object{succeeded(before, "chat-1"), failed(then, "chat-1", "forbidden")}, chat1("forbidden")},
		"its claim was created since": {[]client.Object{failed(then, "chat-1", "forbidden"),
			recorded(then, "SuccessfulCreate", "create Claim data-chat-1 Pod chat-1 in StatefulSet chat success")}, chat1("forbidden")},
		"of a pod that exists":         {[]client.Object{failed(then, "chat-0", "forbidden"), podCreated("chat-0", before)}, map[string]string{}},
		"of a pod beyond the replicas": {[]client.Object{failed(then, "chat-7", "forbidden")}, map[string]string{}},
		"of a former StatefulSet":      {[]client.Object{namesake}, map[string]string{}},
		"of something else":            {[]client.Object{recorded(then, "FailedCreate", "chat-1 failed")}, map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, append([]client.Object{statefulSet(3)}, distinct(test.objects)...)...)
			observed, err := s.observer().Observe(t.Context(), minimal())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, observed.PodFailures); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A pod that has the name of a missing one and not its labels is found, whoever owns it,
// unless it terminates.
func TestNamesOfMissingPodsThatAreTaken(t *testing.T) {
	unlabelled := podCreated("chat-1", statetest.Now)
	unlabelled.Labels, unlabelled.OwnerReferences = map[string]string{plan.LabelCluster: "chat"}, nil
	terminating := unlabelled.DeepCopy()
	terminating.Name, terminating.Finalizers = "chat-2", []string{"example.com/slow"}
	terminating.DeletionTimestamp = &metav1.Time{Time: statetest.Now}
	s := newServer(t, statefulSet(3), podCreated("chat-0", statetest.Now), unlabelled, terminating)
	observed, err := s.observer().Observe(t.Context(), minimal())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"chat-1"}, observed.NamesTaken); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What was recorded of pods is read of those that are not Ready, and of their own: not of
// former pods of their names.
func TestEventsOfPods(t *testing.T) {
	pod := podCreated("chat-1", statetest.Now)
	pod.UID = "uid-of-chat-1"
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.ContainersReady, Status: corev1.ConditionFalse,
		LastTransitionTime: metav1.NewTime(statetest.Now.Add(-state.UnreadyTimeout - time.Second))}}
	of := func(uid types.UID, field string, ago time.Duration, note string) *eventsv1.Event {
		event := recorded(statetest.Now.Add(-ago), "Unhealthy", note)
		event.Regarding = corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: "chat-1", UID: uid, FieldPath: field}
		return event
	}
	objects := []client.Object{
		of("uid-of-chat-1", "spec.containers{chat}", time.Second, "(combined from similar events): Readiness probe failed: later"),
		of("uid-of-chat-1", "spec.containers{chat}", time.Minute, "Readiness probe failed: before"),
		of("uid-of-chat-1", "", time.Hour, "of the pod"),
		of("former", "spec.containers{chat}", 0, "Readiness probe failed: of another"),
	}
	s := newServer(t, append(distinct(objects), statefulSet(3), pod, podCreated("chat-0", statetest.Now), podCreated("chat-2", statetest.Now))...)
	observed, err := s.observer().Observe(t.Context(), minimal())
	if err != nil {
		t.Fatal(err)
	}
	at := func(ago time.Duration) time.Time { return statetest.Now.Add(-ago) }
	want := map[string][]state.PodEvent{"chat-1": {
		{Reason: "Unhealthy", Note: "of the pod", At: at(time.Hour)},
		{Container: "chat", Reason: "Unhealthy", Note: "Readiness probe failed: before", At: at(time.Minute)},
		{Container: "chat", Reason: "Unhealthy", Note: "Readiness probe failed: later", At: at(time.Second)},
	}}
	if diff := cmp.Diff(want, observed.PodEvents); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// However many pods are not Ready, events are read of three of them.
func TestEventsOfPodsAreReadOfFew(t *testing.T) {
	cluster, objects := minimal(), []client.Object{statefulSet(9)}
	cluster.Spec.Replicas = ptr.To[int32](9)
	for ordinal := range 9 {
		pod := podCreated(fmt.Sprintf("chat-%d", ordinal), statetest.Now)
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.ContainersReady, Status: corev1.ConditionFalse, LastTransitionTime: metav1.NewTime(statetest.Now.Add(-time.Hour))}}
		objects = append(objects, pod)
	}
	s := newServer(t, objects...)
	if _, err := s.observer().Observe(t.Context(), cluster); err != nil {
		t.Fatal(err)
	}
	if lists := strings.Count(strings.Join(s.reads, "\n"), "list *v1.EventList"); lists != 3 {
		t.Errorf("events were listed %d times, want 3", lists)
	}
}

// distinct gives events names.
func distinct(objects []client.Object) []client.Object {
	for i, object := range objects {
		if object.GetName() == "" {
			object.SetName(fmt.Sprintf("chat.%d", i))
		}
	}
	return objects
}

// What only explains is read while something is missing, and holds up nothing if it cannot be.
func TestCausesAreReadOnlyWhenNeeded(t *testing.T) {
	pods := []client.Object{statefulSet(2), podCreated("chat-0", statetest.Now), podCreated("chat-1", statetest.Now)}
	late := &certmanager.Certificate{ObjectMeta: owned("chat-0-tls")}
	late.CreationTimestamp = metav1.NewTime(statetest.Now.Add(-state.StoringTimeout - time.Second))
	recent := late.DeepCopy()
	recent.CreationTimestamp = metav1.NewTime(statetest.Now.Add(-time.Second))
	unready := func(since time.Duration) *corev1.Pod {
		pod := podCreated("chat-1", statetest.Now)
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.ContainersReady, Status: corev1.ConditionFalse, LastTransitionTime: metav1.NewTime(statetest.Now.Add(-since))}}
		return pod
	}
	restarting := podCreated("chat-1", statetest.Now)
	restarting.Status.ContainerStatuses = []corev1.ContainerStatus{{Ready: true, RestartCount: 2,
		State:                corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(statetest.Now)}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}}}
	ended := podCreated("chat-1", statetest.Now)
	ended.Status.ContainerStatuses = []corev1.ContainerStatus{{
		State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}}}
	initialized := podCreated("chat-1", statetest.Now)
	initialized.Status.InitContainerStatuses = []corev1.ContainerStatus{{Ready: true, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}}}
	leaving := unready(time.Hour)
	leaving.DeletionTimestamp, leaving.Finalizers = &metav1.Time{Time: statetest.Now}, []string{"example.com/x"}
	for name, test := range map[string]struct {
		objects []client.Object
		want    string
	}{
		"all that the StatefulSet is to create are there": {pods, ""},
		"a pod is missing":           {pods[:2], "list *v1.EventList"},
		"a pod is not Ready yet":     {append(pods[:2:2], unready(state.UnreadyTimeout)), ""},
		"a pod is not Ready":         {append(pods[:2:2], unready(state.UnreadyTimeout+time.Second)), "list *v1.EventList"},
		"a pod keeps restarting":     {append(pods[:2:2], restarting), "list *v1.EventList"},
		"a container has ended":      {append(pods[:2:2], ended), "list *v1.EventList"},
		"an init container is done":  {append(pods[:2:2], initialized), ""},
		"a pod is being deleted":     {append(pods[:2:2], leaving), ""},
		"a certificate is late":      {append(pods, late), "list *v1.ResourceQuotaList"},
		"a certificate is requested": {append(pods, recent), ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, test.objects...)
			s.fail = test.want
			if _, err := s.observer().Observe(t.Context(), minimal()); err != nil {
				t.Errorf("observe: %v", err)
			}
			reads := strings.Join(s.reads, "\n")
			for _, read := range []string{"list *v1.EventList", "list *v1.ResourceQuotaList"} {
				if got, want := strings.Contains(reads, read), read == test.want; got != want {
					t.Errorf("%s: %t, want %t", read, got, want)
				}
			}
		})
	}
}

func TestSecretQuota(t *testing.T) {
	late := &certmanager.Certificate{ObjectMeta: owned("chat-0-tls")}
	quota := func(resourceName corev1.ResourceName, used string) *corev1.ResourceQuota {
		return &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop"}, Status: corev1.ResourceQuotaStatus{
			Hard: corev1.ResourceList{resourceName: resource.MustParse("10")}, Used: corev1.ResourceList{resourceName: resource.MustParse(used)}}}
	}
	for name, test := range map[string]struct {
		quota *corev1.ResourceQuota
		want  string
	}{
		"used up":            {quota(corev1.ResourceSecrets, "10"), "shop"},
		"used up, as a kind": {quota("count/secrets", "11"), "shop"},
		"one is left":        {quota(corev1.ResourceSecrets, "9"), ""},
		"of something else":  {quota(corev1.ResourcePods, "10"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			observed, err := newServer(t, late, test.quota).observer().Observe(context.Background(), minimal())
			if err != nil || observed.SecretQuota != test.want {
				t.Errorf("quota %q (%v), want %q", observed.SecretQuota, err, test.want)
			}
		})
	}
}
