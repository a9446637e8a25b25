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

// journeys are ways from one spec to another.
var journeys = map[string]struct {
	from *v1alpha1.ErlangCluster
	to   func(*v1alpha1.ErlangClusterSpec)
	// expiring is the private CA that is due for replacement; the one that replaces it has
	// another name than that of a fresh cluster.
	expiring string
}{
	"creation":   {from: chat(2)},
	"scale up":   {from: chat(1), to: func(s *v1alpha1.ErlangClusterSpec) { s.Replicas = ptr.To[int32](2) }},
	"scale down": {from: chat(2), to: func(s *v1alpha1.ErlangClusterSpec) { s.Replicas = ptr.To[int32](1) }},
	"another policy and cookie": {from: chat(1), to: func(s *v1alpha1.ErlangClusterSpec) {
		s.NetworkPolicy.Mode = v1alpha1.Unmanaged
		s.Cookie.RotationID = "2"
	}},
	"another CA":     {from: chat(1), to: func(s *v1alpha1.ErlangClusterSpec) { s.TLS.CA.RotationID = "2" }},
	"the CA expires": {from: chat(1), expiring: "chat-ca"},
}

// begin makes a world at the start of a journey.
func begin(t *testing.T, name string) *world {
	t.Helper()
	journey := journeys[name]
	w := newWorld(journey.from.DeepCopy())
	if journey.to != nil {
		travel(t, w)
		w.edit(journey.to)
		w.writes = 0
	}
	if journey.expiring != "" {
		travel(t, w)
		w.nearlyExpire(journey.expiring)
		w.writes = 0
	}
	return w
}

// travel lets a manager that has just started bring a world to rest.
func travel(t *testing.T, w *world) {
	t.Helper()
	if err := w.converge(w.manager(w.present)); err != nil {
		t.Fatal(err)
	}
}

// What a spec comes to does not depend on the way: it is Ready, and everything is
// as if the cluster had been made so.
func TestJourneysEndWhereAFreshClusterDoes(t *testing.T) {
	for name, journey := range journeys {
		t.Run(name, func(t *testing.T) {
			w := begin(t, name)
			travel(t, w)
			if status := w.cluster().Status; !meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionReady) ||
				meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReconciling) != nil {
				t.Errorf("not ready: %+v", status.Conditions)
			}
			if journey.expiring != "" {
				if cas := w.cas(); !slices.Equal(cas, []string{"chat-ca-r2"}) {
					t.Errorf("there are %v", cas)
				}
				return
			}
			target := journey.from.DeepCopy()
			if journey.to != nil {
				journey.to(&target.Spec)
			}
			fresh := newWorld(target)
			travel(t, fresh)
			if diff := cmp.Diff(fresh.description(), w.description()); diff != "" {
				t.Errorf("(-fresh +travelled):\n%s", diff)
			}
		})
	}
}

// The manager dies after any of its writes, or does not learn that the write was done.
// The next one, or itself, brings it all to the same end.
func TestFaultAtEveryWrite(t *testing.T) {
	for name := range journeys {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := begin(t, name)
			undisturbed := start.copied()
			left := leftBehind(undisturbed)
			travel(t, undisturbed)
			want := undisturbed.description()
			check := func(t *testing.T, w *world, cookie string) {
				t.Helper()
				if diff := cmp.Diff(want, w.description()); diff != "" {
					t.Errorf("(-undisturbed +disturbed):\n%s", diff)
				}
				if cookie != "" && w.cookie() != cookie && w.cluster().Spec.Cookie.RotationID == "" {
					t.Error("the cookie changed")
				}
			}
			if len(left) < 2 {
				t.Fatalf("%d writes that change anything are no journey", len(left))
			}
			for _, write := range slices.Sorted(maps.Keys(left)) {
				t.Run(fmt.Sprintf("crash at %d", write), func(t *testing.T) {
					w, cookie := left[write], left[write].cookie()
					travel(t, w)
					check(t, w, cookie)
				})
				if name != "creation" {
					continue // to the API server it is a crash; the manager only remembers more
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

// leftBehind fills, as a world goes its way, with what it would be if the manager died
// after a write, by the number of the write; those that change nothing are left out.
func leftBehind(w *world) map[int]*world {
	left := map[int]*world{}
	contents := w.contents()
	w.fault = func(write int) error {
		if now := w.contents(); !slices.Equal(now, contents) {
			left[write], contents = w.copied(), now
		}
		return nil
	}
	return left
}

// A second look at what is well asks nothing of the API server.
func TestConvergedCostsNothing(t *testing.T) {
	w := begin(t, "creation")
	manager := w.manager(w.present)
	if err := w.converge(manager); err != nil {
		t.Fatal(err)
	}
	before := w.writes
	for range 3 {
		result, err := manager.reconcile(t.Context(), w.cluster())
		if err != nil {
			t.Fatal(err)
		}
		if result.RequeueAfter <= 0 {
			t.Error("the probe's silence would go unnoticed")
		}
	}
	if w.writes != before {
		t.Errorf("%d writes", w.writes-before)
	}
}
