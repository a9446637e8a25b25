//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
	"github.com/erlang-operator/erlang-operator/test/journal"
)

// meshWithin is the time in which ten members become one mesh, from when the last pod runs. It
// includes the start of the nodes, which takes many times as long where ten share a busy machine.
const meshWithin, meshWithinOnBusyMachine = 5 * time.Second, 20 * time.Second

// startJournal creates a cluster whose members print their links. More are further
// expressions that they evaluate.
func startJournal(t *testing.T, members int, otp, more string) harness.Cluster {
	t.Helper()
	c := harness.Cluster{Namespace: harness.Namespace(t), Name: "chat"}
	kubectl.MustApply(t, fmt.Sprintf(`{"apiVersion":"erlang-operator.dev/v1alpha1","kind":"ErlangCluster","metadata":{"name":%q,"namespace":%q},
		"spec":{"replicas":%d,"template":%s}}`, c.Name, c.Namespace, members, harness.JournalTemplate(otp, more)))
	return c
}

// Ten members are one mesh soon after the last of their pods runs. It runs alone, because it is
// about time. The limit in a soak is that of an idle machine.
func TestTenMembers(t *testing.T) {
	const members = 10
	c := startJournal(t, members, "27", "")
	followed := c.Follow(t, members)
	c.AwaitReady(t, members)
	events := followed.End()
	whole := firstWhole(events, members)
	if whole.IsZero() {
		t.Fatal("the members were never all linked")
	}
	last := lastRuns(t, c)
	booted := slices.MaxFunc(events, func(a, b journal.Event) int { return startedAt(a).Compare(startedAt(b)) }).At
	t.Logf("the mesh is whole %s after the last pod runs, %s after the last node has started", whole.Sub(last).Round(time.Millisecond), whole.Sub(booted))
	limit := meshWithinOnBusyMachine
	if *soak > 0 {
		limit = meshWithin
	}
	if took := whole.Sub(last); took > limit {
		t.Errorf("the mesh is whole %s after the last pod runs, want %s", took, limit)
	}
	journal.Check(t, events, members, members)
}

// Of ten members one has a cookie of its own from its start: the other nine form a mesh and
// stay one, and it is named. When it has the right cookie, it joins.
func TestOneOfTenMembersIsBad(t *testing.T) {
	t.Parallel()
	const members, bad = 10, 9
	c := startJournal(t, members, "27", `os:getenv("ERLANG_OPERATOR_POD") =:= "chat-9" andalso erlang:set_cookie(another).`)
	followed := c.Follow(t, members)
	await.Until(t, 2*time.Minute, "nine members are linked", func(context.Context) error {
		if firstWhole(followed.Events(), bad).IsZero() {
			return errors.New("they are not")
		}
		return nil
	})
	c.AwaitCondition(t, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonCookieMismatch, "chat-9", "cookie")
	time.Sleep(20 * time.Second) // in which the probe sweeps several times
	events := followed.Events()
	journal.Check(t, events, bad, bad)

	harness.Must(c.Eval(t.Context(), bad, fmt.Sprintf("erlang:set_cookie('%s')", harness.Must(c.Cookie(t.Context()))(t)), "another"))(t)
	c.AwaitReady(t, members)
	journal.Check(t, followed.End(), members, bad)
}

// firstWhole is when all members were linked to each other first.
func firstWhole(events []journal.Event, members int) time.Time {
	for _, meshed := range journal.Over(events, members) {
		if meshed.Members == members {
			return meshed.At
		}
	}
	return time.Time{}
}

// startedAt is when a node has started, if the event is about that.
func startedAt(e journal.Event) time.Time {
	if e.What == "start" {
		return e.At
	}
	return time.Time{}
}

// lastRuns is when the last container of a member has started, as the kubelet says: to the
// second, and not later.
func lastRuns(t *testing.T, c harness.Cluster) (last time.Time) {
	t.Helper()
	var pods corev1.PodList
	if err := kubectl.Get(t.Context(), &pods, "pods", "-n", c.Namespace, "-l", "erlang-operator.dev/component=node"); err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods.Items {
		for _, container := range pod.Status.ContainerStatuses {
			if running := container.State.Running; running != nil && running.StartedAt.After(last) {
				last = running.StartedAt.Time
			}
		}
	}
	return last
}
