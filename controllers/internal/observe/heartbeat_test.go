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

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
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
		Spec: coordinationv1.LeaseSpec{HolderIdentity: ptr.To(holder), AcquireTime: ptr.To(metav1.NewMicroTime(statetest.Now)), RenewTime: ptr.To(metav1.NewMicroTime(statetest.Now.Add(at)))},
	}
}

// held is the Lease of a probe that has not reported since it took it.
func held(holder string, at time.Duration) *coordinationv1.Lease {
	lease := renewed(holder, at)
	lease.Spec.AcquireTime = nil
	return lease
}

// The age of a heartbeat is measured by the manager's clock alone, from when it saw the Lease
// change. What was there when it began counts from then.
func TestHeartbeats(t *testing.T) {
	observer, clock := newServer(t, cluster(), probePod("a"), probePod("b")).observer(), testclock.NewFakePassiveClock(statetest.Now)
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
	s := newServer(t, cluster(), renewed("b", 0), probePod("a"), probePod("b"))
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

// A probe that holds the Lease and has not reported confirms nothing, so the cluster's probe is silent; but it is
// alive, and its Lease is not released.
func TestHeldIsNoHeartbeat(t *testing.T) {
	s := newServer(t, cluster(), probePod("a"))
	observer, clock := s.observer(), testclock.NewFakePassiveClock(statetest.Now)
	observer.Clock = clock
	observe := func(after time.Duration, lease *coordinationv1.Lease, silent bool) {
		t.Helper()
		now := statetest.Now.Add(after)
		clock.SetTime(now)
		if lease != nil {
			if _, wasSilent := observer.Heartbeats.Saw(lease, now); wasSilent == silent {
				t.Errorf("after %s: the probe was silent: %t", after, wasSilent)
			}
		}
		observed, err := observer.Observe(t.Context(), cluster())
		if err != nil || observed.ProbeIsSilent() != silent || observed.SilentLease != nil {
			t.Errorf("after %s: silent: %t, Lease %v, %v", after, observed.ProbeIsSilent(), observed.SilentLease, err)
		}
	}
	observe(0, nil, false)
	if observer.Heartbeats.Saw(renewed("a", 0), statetest.Now); len(observer.Heartbeats.Silenced(statetest.Now.Add(time.Minute))) != 1 {
		t.Error("the probe is not silent")
	}
	if err := s.Create(t.Context(), held("a", time.Minute)); err != nil {
		t.Fatal(err)
	}
	for after := time.Minute; after < 2*time.Minute; after += 5 * time.Second {
		now := statetest.Now.Add(after)
		clock.SetTime(now)
		if _, wasSilent := observer.Heartbeats.Saw(held("a", after), now); wasSilent {
			t.Errorf("after %s something is to be reported", after)
		}
		observe(after, nil, true)
	}
	observe(2*time.Minute, renewed("a", 2*time.Minute), false)
}

// What a probe confirms after a silence is read from the API server, until the cache has it: there may still be the
// report of before.
func TestReportAfterSilence(t *testing.T) {
	now := cluster()
	now.Status.Mesh = &v1alpha1.MeshStatus{Nodes: []v1alpha1.NodeStatus{{Pod: "chat-0", Reason: v1alpha1.ReasonHandshakeTimedOut}}}
	s := newServer(t, now, probePod("a"))
	observer, clock := s.observer(), testclock.NewFakePassiveClock(statetest.Now)
	observer.Clock = clock
	observe := func(after time.Duration, cached *v1alpha1.ErlangCluster, reads int) {
		t.Helper()
		s.reads = nil
		clock.SetTime(statetest.Now.Add(after))
		observed, err := observer.Observe(t.Context(), cached)
		if err != nil {
			t.Fatal(err)
		}
		if fresh := observed.Cluster.Status.Mesh != nil; fresh != (reads > 0 || cached.Status.Mesh != nil) {
			t.Errorf("after %s the report is %+v", after, observed.Cluster.Status.Mesh)
		}
		if got := len(slices.DeleteFunc(s.reads, func(read string) bool { return read != "get *unstructured.Unstructured chat" })); got != reads {
			t.Errorf("after %s the cluster was read %d times", after, got)
		}
	}
	stale := cluster()
	observe(0, stale.DeepCopy(), 0)
	observer.Heartbeats.Saw(renewed("a", time.Second), statetest.Now.Add(time.Second))
	observe(time.Second, stale.DeepCopy(), 0)
	observer.Heartbeats.Saw(held("a", 30*time.Second), statetest.Now.Add(30*time.Second))
	observer.Heartbeats.Saw(renewed("a", 40*time.Second), statetest.Now.Add(40*time.Second))
	observer.Heartbeats.Saw(renewed("a", 45*time.Second), statetest.Now.Add(45*time.Second))
	observe(45*time.Second, stale.DeepCopy(), 1)
	observe(46*time.Second, stale.DeepCopy(), 1)
	observe(47*time.Second, now.DeepCopy(), 1)
	observe(48*time.Second, now.DeepCopy(), 0)
}

// A Lease of somebody else that has the name of the probe's is found, once the probe is silent.
func TestLeaseTaken(t *testing.T) {
	foreign := renewed("x", 0)
	foreign.Labels, foreign.OwnerReferences = nil, nil
	observer, clock := newServer(t, foreign).observer(), testclock.NewFakePassiveClock(statetest.Now)
	observer.Clock = clock
	for minutes, taken := range []bool{false, true} {
		after := time.Duration(minutes) * time.Minute
		clock.SetTime(statetest.Now.Add(after))
		if observed, err := observer.Observe(t.Context(), cluster()); err != nil || observed.LeaseTaken != taken || observed.SilentLease != nil {
			t.Errorf("after %s: taken: %t, silent %v, %v", after, observed.LeaseTaken, observed.SilentLease, err)
		}
	}
}

// The Lease of a former cluster of this name is no heartbeat, however often it is renewed.
func TestLeaseOfAFormerCluster(t *testing.T) {
	observer, clock := newServer(t, cluster(), probePod("a")).observer(), testclock.NewFakePassiveClock(statetest.Now)
	observer.Clock = clock
	for after := time.Duration(0); after <= time.Minute; after += 5 * time.Second {
		clock.SetTime(statetest.Now.Add(after))
		observed, err := observer.Observe(t.Context(), cluster())
		if silent := after > state.HeartbeatTimeout; err != nil || observed.ProbeIsSilent() != silent {
			t.Errorf("after %s: silent: %t, %v", after, observed.ProbeIsSilent(), err)
		}
		former := renewed("a", after)
		former.OwnerReferences[0].UID = "former"
		observer.Heartbeats.Saw(former, clock.Now())
	}
}

// Who is no pod of the probe does not report, however often it renews the Lease: it is named, and its
// Lease not released. A pod that is gone has reported, and one that is new reports.
func TestForeignHolder(t *testing.T) {
	s := newServer(t, cluster(), renewed("evil", time.Hour), probePod("a"))
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
