package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
)

func chat(replicas int32) *v1alpha1.ErlangCluster {
	cluster := statetest.MustCluster("metadata: {name: chat, namespace: shop}\nspec: {template: {spec: {containers: [{name: chat, image: x}]}}}")
	cluster.Spec.Replicas = &replicas
	return cluster
}

// transitions are changes of a spec, or of the time.
var transitions = map[string]struct {
	from *v1alpha1.ErlangCluster
	to   func(*v1alpha1.ErlangClusterSpec)
	// expiring is a private CA that is about to expire; its successor has another name than
	// the CA of a new cluster.
	expiring string
}{
	"creation":   {from: chat(2)},
	"scale up":   {from: chat(1), to: func(s *v1alpha1.ErlangClusterSpec) { s.Replicas = ptr.To[int32](2) }},
	"scale down": {from: chat(2), to: func(s *v1alpha1.ErlangClusterSpec) { s.Replicas = ptr.To[int32](1) }},
	"another policy and cookie": {from: chat(1), to: func(s *v1alpha1.ErlangClusterSpec) {
		s.NetworkPolicy.Mode = v1alpha1.NetworkPolicyUnmanaged
		s.Cookie.RotationID = "2"
	}},
	"another CA":                {from: chat(1), to: func(s *v1alpha1.ErlangClusterSpec) { s.TLS.CA.RotationID = "2" }},
	"the CA is about to expire": {from: chat(1), expiring: "chat-ca"},
}

// before is a simulation at the start of a transition.
func before(t *testing.T, name string) *simulation {
	t.Helper()
	transition := transitions[name]
	w := newSimulation(transition.from.DeepCopy())
	if transition.to != nil {
		settle(t, w)
		w.edit(transition.to)
		w.writes = 0
	}
	if transition.expiring != "" {
		settle(t, w)
		w.nearlyExpire(transition.expiring)
		w.writes = 0
	}
	return w
}

// settle runs a new manager until nothing changes any more.
func settle(t *testing.T, w *simulation) {
	t.Helper()
	if err := w.converge(w.manager(w.present)); err != nil {
		t.Fatal(err)
	}
}

// After a transition the cluster is Ready, and everything is as if it had been created
// with the final spec.
func TestTransitionsEndLikeANewCluster(t *testing.T) {
	for name, transition := range transitions {
		t.Run(name, func(t *testing.T) {
			w := before(t, name)
			settle(t, w)
			if status := w.cluster().Status; !meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionReady) ||
				meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReconciling) != nil {
				t.Errorf("not ready: %+v", status.Conditions)
			}
			if transition.expiring != "" {
				if cas := w.cas(); !slices.Equal(cas, []string{"chat-ca-r2"}) {
					t.Errorf("there are %v", cas)
				}
				return
			}
			target := transition.from.DeepCopy()
			if transition.to != nil {
				transition.to(&target.Spec)
			}
			fresh := newSimulation(target)
			settle(t, fresh)
			if diff := cmp.Diff(fresh.description(), w.description()); diff != "" {
				t.Errorf("(-new +changed):\n%s", diff)
			}
		})
	}
}

// The manager dies after any of its writes, or does not learn that the write was done. The
// next manager, or itself, comes to the same result.
func TestFaultAtEveryWrite(t *testing.T) {
	for name := range transitions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := before(t, name)
			undisturbed := start.copied()
			left := crashes(undisturbed)
			settle(t, undisturbed)
			want := undisturbed.description()
			check := func(t *testing.T, w *simulation, cookie string) {
				t.Helper()
				if diff := cmp.Diff(want, w.description()); diff != "" {
					t.Errorf("(-undisturbed +disturbed):\n%s", diff)
				}
				if cookie != "" && w.cookie() != cookie && w.cluster().Spec.Cookie.RotationID == "" {
					t.Error("the cookie changed")
				}
			}
			if len(left) < 2 {
				t.Fatalf("%d writes that change anything are too few", len(left))
			}
			for _, write := range slices.Sorted(maps.Keys(left)) {
				t.Run(fmt.Sprintf("crash at %d", write), func(t *testing.T) {
					w, cookie := left[write], left[write].cookie()
					settle(t, w)
					check(t, w, cookie)
				})
				if name != "creation" {
					continue // For the API server it is a crash; the manager only remembers more.
				}
				t.Run(fmt.Sprintf("lost answer at %d", write), func(t *testing.T) {
					w := start.copied()
					cookie := ""
					w.fault = func(at int) error {
						if at != write {
							return nil
						}
						cookie = w.cookie()
						return context.DeadlineExceeded
					}
					if err := w.converge(w.manager(w.present)); err != nil {
						t.Fatal(err)
					}
					check(t, w, cookie)
				})
			}
		})
	}
}

// crashes fills, while the simulation goes on, with copies of it as they are if the manager
// dies after a write, by the number of the write. Writes that change nothing are left out.
func crashes(w *simulation) map[int]*simulation {
	left := map[int]*simulation{}
	contents := w.contents()
	w.fault = func(write int) error {
		if now := w.contents(); !slices.Equal(now, contents) {
			left[write], contents = w.copied(), now
		}
		return nil
	}
	return left
}

// A manager that reconciles a settled cluster writes nothing.
func TestSettledClusterCausesNoWrites(t *testing.T) {
	w := before(t, "creation")
	manager := w.manager(w.present)
	if err := w.converge(manager); err != nil {
		t.Fatal(err)
	}
	writes := w.writes
	for range 3 {
		result, err := manager.reconcile(t.Context(), w.cluster())
		if err != nil {
			t.Fatal(err)
		}
		if result.RequeueAfter <= 0 {
			t.Error("no requeue, so a silent probe would not be noticed")
		}
	}
	if w.writes != writes {
		t.Errorf("%d writes", w.writes-writes)
	}
}
