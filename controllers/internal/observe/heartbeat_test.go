package observe_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/google/go-cmp/cmp"

	"github.com/erlang-operator/erlang-operator/controllers/internal/observe"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
)

// renewed is the Lease of the probe of cluster, with the time of the probe's own clock.
func renewed(holder string, at time.Duration) *coordinationv1.Lease {
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "chat-probe", Labels: plan.Labels("chat"),
			OwnerReferences: []metav1.OwnerReference{plan.OwnerReference(cluster())}},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: ptr.To(holder), RenewTime: ptr.To(metav1.NewMicroTime(statetest.Now.Add(at)))},
	}
}

// The age of a heartbeat is measured by the manager's clock alone, from when it saw the Lease
// change. What was there when it began counts from then.
func TestHeartbeats(t *testing.T) {
	observer, clock := newServer(t, probePod("a"), probePod("b")).observer(), testclock.NewFakePassiveClock(statetest.Now)
	observer.Clock = clock
	c := cluster()
	expect := func(after, want time.Duration, silent bool) {
		t.Helper()
		clock.SetTime(statetest.Now.Add(after))
		observed, err := observer.Observe(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if got := observed.HeartbeatObserved.Sub(statetest.Now); got != want || observed.ProbeIsSilent() != silent {
			t.Errorf("after %s: observed at %s, want %s; silent: %t", after, got, want, observed.ProbeIsSilent())
		}
	}
	saw := func(after time.Duration, lease *coordinationv1.Lease, wasSilent bool) {
		t.Helper()
		if _, got := observer.Heartbeats.Saw(lease, statetest.Now.Add(after)); got != wasSilent {
			t.Errorf("after %s: the probe was silent: %t", after, got)
		}
	}
	silenced := func(after time.Duration, want int) {
		t.Helper()
		if got := observer.Heartbeats.Silenced(statetest.Now.Add(after)); len(got) != want {
			t.Errorf("after %s: %v have become silent, want %d", after, got, want)
		}
	}
	const second, ahead = time.Second, time.Hour
	expect(0, 0, false)
	saw(5*second, renewed("a", ahead), false)
	saw(10*second, renewed("a", ahead), false) // as after the watch began again
	expect(32*second, 5*second, false)
	silenced(32*second, 0)
	expect(33*second, 5*second, true)
	silenced(33*second, 1)
	silenced(34*second, 0)
	saw(40*second, renewed("a", -ahead), true)
	expect(41*second, 40*second, false)
	saw(50*second, renewed("b", -ahead), false)
	expect(51*second, 50*second, false)

	saw(55*second, renewed("", 0), false) // It was released.
	foreign := renewed("b", 0)
	foreign.Name = "chat"
	saw(60*second, foreign, false)
	foreign = renewed("b", 0)
	foreign.OwnerReferences = nil
	saw(60*second, foreign, false)
	expect(61*second, 50*second, false)

	c.UID = "recreated"
	expect(70*second, 70*second, false)
	observer.Forget(client.ObjectKeyFromObject(c))
	silenced(time.Hour, 0)
	if at, known := observer.Heartbeats.Last(client.ObjectKeyFromObject(c)); known {
		t.Errorf("forgotten, and heard of at %s", at)
	}
}

// A manager whose watch is late, or that does not reach the API server, calls no probe silent.
func TestSilenceIsConfirmed(t *testing.T) {
	s := newServer(t, renewed("b", 0), probePod("a"), probePod("b"))
	observer, clock := s.observer(), testclock.NewFakePassiveClock(statetest.Now)
	observer.Clock = clock
	observer.Heartbeats.Saw(renewed("a", 0), statetest.Now)
	clock.SetTime(statetest.Now.Add(time.Minute))
	s.fail = "get *v1.Lease chat-probe"
	if _, err := observer.Observe(t.Context(), cluster()); !errors.Is(err, errInjected) {
		t.Errorf("error %v", err)
	}
	s.fail = ""
	for after, silent := range []bool{false, true} {
		clock.SetTime(statetest.Now.Add(time.Duration(after+1) * time.Minute))
		observed, err := observer.Observe(t.Context(), cluster())
		if err != nil || observed.ProbeIsSilent() != silent || observed.ProbeHolder != "b" || (observed.SilentLease != nil) != silent {
			t.Errorf("silent: %t, by %s, Lease %v, %v", observed.ProbeIsSilent(), observed.ProbeHolder, observed.SilentLease, err)
		}
	}
	if reads := slices.DeleteFunc(s.reads, func(read string) bool { return read != "get *v1.Lease chat-probe" }); len(reads) != 3 {
		t.Errorf("the Lease was read %d times", len(reads))
	}
}

// Who is no pod of the probe does not report, however often it renews the Lease: it is named, and its
// Lease not released. A pod that is gone has reported, and one that is new reports.
func TestForeignHolder(t *testing.T) {
	s := newServer(t, renewed("evil", time.Hour), probePod("a"))
	observer, clock := s.observer(), testclock.NewFakePassiveClock(statetest.Now)
	observer.Clock = clock
	observe := func(after time.Duration, silent bool, foreign string) {
		t.Helper()
		clock.SetTime(statetest.Now.Add(after))
		observed, err := observer.Observe(t.Context(), cluster())
		if err != nil || observed.ProbeIsSilent() != silent || observed.ForeignHolder != foreign || observed.SilentLease != nil {
			t.Errorf("after %s: silent: %t, held by %q, Lease %v, %v", after, observed.ProbeIsSilent(), observed.ForeignHolder, observed.SilentLease, err)
		}
	}
	saw := func(after time.Duration, holder string) {
		observer.Heartbeats.Saw(renewed(holder, after), statetest.Now.Add(after))
	}
	observe(0, false, "")
	saw(5*time.Second, "a")
	for after := 10 * time.Second; after < time.Minute; after += 5 * time.Second {
		saw(after, "evil")
	}
	observe(6*time.Second, false, "evil")
	if silenced := observer.Heartbeats.Silenced(statetest.Now.Add(time.Minute)); len(silenced) != 1 {
		t.Errorf("silenced: %v", silenced)
	}
	observe(time.Minute, true, "evil")
	if err := s.Create(t.Context(), probePod("b")); err != nil {
		t.Fatal(err)
	}
	observe(65*time.Second, true, "evil")
	saw(70*time.Second, "b")
	observe(70*time.Second, false, "")
	saw(75*time.Second, "evil")
	observe(75*time.Second, false, "evil")
	saw(80*time.Second, "") // Its Lease was released.
	observe(80*time.Second, false, "")
	unknown := s.observer()
	unknown.Heartbeats.Saw(renewed("", 0), statetest.Now)
	if silenced := unknown.Heartbeats.Silenced(statetest.Now.Add(time.Hour)); len(silenced) != 0 {
		t.Errorf("silenced, but not known: %v", silenced)
	}
	if err := s.Delete(t.Context(), probePod("b")); err != nil {
		t.Fatal(err)
	}
	observe(80*time.Second, false, "")
}

func probePod(name string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: plan.Selector("chat", plan.ComponentProbe)}}
}

// The Lease of a probe that has never run is not read in each pass.
func TestAbsentLeaseIsNotReadAgainAtOnce(t *testing.T) {
	s := newServer(t)
	observer, clock := s.observer(), testclock.NewFakePassiveClock(statetest.Now)
	observer.Clock = clock
	for _, pass := range []struct {
		after time.Duration
		reads int
	}{{0, 0}, {time.Minute, 1}, {time.Minute + state.HeartbeatTimeout - 1, 1}, {time.Minute + state.HeartbeatTimeout, 2}} {
		clock.SetTime(statetest.Now.Add(pass.after))
		observed, err := observer.Observe(t.Context(), cluster())
		if err != nil || observed.ProbeIsSilent() != (pass.after > 0) {
			t.Errorf("after %s: silent: %t, %v", pass.after, observed.ProbeIsSilent(), err)
		}
		if reads := slices.DeleteFunc(slices.Clone(s.reads), func(read string) bool { return read != "get *v1.Lease chat-probe" }); len(reads) != pass.reads {
			t.Errorf("after %s: the Lease was read %d times, want %d", pass.after, len(reads), pass.reads)
		}
	}
}

// The machines that are observed are those of the cluster's pods, the probe's included, that
// are not Ready; and none where the manager may not read them.
func TestLostMachines(t *testing.T) {
	machine := func(name string, status corev1.ConditionStatus) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{
			{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionUnknown},
			{Type: corev1.NodeReady, Status: status, Message: "it says", LastTransitionTime: metav1.NewTime(statetest.Now.Truncate(time.Second))}}}}
	}
	pod := func(name, component, machine string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: plan.Selector("chat", component)}, Spec: corev1.PodSpec{NodeName: machine}}
	}
	observer := newServer(t,
		machine("ready", corev1.ConditionTrue), machine("failing", corev1.ConditionFalse), machine("lost", corev1.ConditionUnknown),
		machine("elsewhere", corev1.ConditionUnknown), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "new"}},
		pod("chat-0", plan.ComponentNode, "ready"), pod("chat-1", plan.ComponentNode, "lost"), pod("chat-2", plan.ComponentNode, "gone"),
		pod("chat-3", plan.ComponentNode, "new"), pod("chat-4", plan.ComponentNode, ""), pod("chat-probe-a", plan.ComponentProbe, "failing"),
	).observer()
	for _, watched := range []bool{true, false} {
		observer.ClusterWide = watched
		want := map[string]state.LostMachine{}
		if watched {
			known := state.LostMachine{Since: statetest.Now.Truncate(time.Second), Says: "it says"}
			want["lost"], want["failing"] = known, known
		}
		observed, err := observer.Observe(t.Context(), cluster())
		if err != nil || len(observed.Pods) != 5 || len(observed.ProbePods) != 1 {
			t.Fatalf("%d pods and %d of the probe, %v", len(observed.Pods), len(observed.ProbePods), err)
		}
		if diff := cmp.Diff(want, observed.LostMachines, cmp.Comparer(time.Time.Equal)); diff != "" {
			t.Errorf("watched %t (-want +got):\n%s", watched, diff)
		}
	}
	if observe.NotReady(machine("ready", corev1.ConditionTrue)) != nil || observe.NotReady(machine("lost", corev1.ConditionUnknown)) == nil {
		t.Error("the condition of a machine is misread")
	}
}
