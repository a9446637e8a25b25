package controllers

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
)

var histories = flag.Uint64("histories", 4, "how many histories TestAnyHistoryEndsTheSame plays")

// Managers read stale caches, die, and are started again, while the spec is edited and
// objects are deleted: the cookie stays, and afterwards everything is as in a cluster that
// was created with the final spec.
func TestAnyHistoryEndsTheSame(t *testing.T) {
	for seed := range *histories {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			h := &history{simulation: newSimulation(chat(2)), random: rand.New(rand.NewPCG(seed, 0))}
			h.remember()
			for range 25 {
				happened := h.step()
				if now := h.cookie(); h.first == "" {
					h.first = now
				} else if now != h.first {
					t.Fatalf("the cookie changed: %s", happened)
				}
				h.remember()
			}
			h.fault = nil
			settle(t, h.simulation)

			target := chat(0)
			target.Spec = h.cluster().Spec
			fresh := newSimulation(target)
			settle(t, fresh)
			if diff := cmp.Diff(fresh.description(), h.description()); diff != "" {
				t.Errorf("(-new +this):\n%s", diff)
			}
		})
	}
}

type history struct {
	*simulation
	random *rand.Rand
	// past are the last few states of the simulation.
	past  []*simulation
	first string // cookie
}

func (h *history) remember() {
	h.past = append(h.past, h.copied())
	h.past = h.past[max(0, len(h.past)-4):]
}

// step does something at random, and describes it.
func (h *history) step() string {
	switch h.random.IntN(6) {
	case 0:
		replicas := h.random.Int32N(4)
		h.edit(func(s *v1alpha1.ErlangClusterSpec) { s.Replicas = &replicas })
		return fmt.Sprintf("scaled to %d", replicas)
	case 1:
		return "deleted " + h.deleteOne()
	case 2:
		h.others()
		return "the other controllers acted"
	default:
		age := h.random.IntN(len(h.past))
		seen := h.past[len(h.past)-1-age]
		h.fault = nil
		if dies := h.writes + 1 + h.random.IntN(12); h.random.IntN(2) == 0 {
			h.fault = func(write int) error {
				if write == dies {
					return errCrashed
				}
				return nil
			}
		}
		// What fails is done in another pass.
		_, err := h.manager(seen.present).reconcile(context.Background(), seen.cluster())
		return fmt.Sprintf("a manager saw the state of %d steps ago: %v", age, err)
	}
}

// deleteOne deletes one object of the cluster, except the cookie.
func (h *history) deleteOne() string {
	var targets []client.Object
	for _, object := range h.objects() {
		if object.GetLabels()["erlang-operator.dev/cluster"] != "" && object.GetName() != "chat-cookie" {
			targets = append(targets, object)
		}
	}
	if len(targets) == 0 {
		return "nothing"
	}
	target := targets[h.random.IntN(len(targets))]
	must(h.present.Delete(context.Background(), target))
	return fmt.Sprintf("%T %s", target, target.GetName())
}

// A cookie that somebody has edited is restored, and nothing else becomes of its Secret.
func TestEditedCookieIsRestoredAsItWas(t *testing.T) {
	w := newSimulation(chat(2))
	settle(t, w)
	before, cookie := w.description(), w.cookie()
	secret := &corev1.Secret{}
	must(w.present.Get(t.Context(), types.NamespacedName{Namespace: "shop", Name: "chat-cookie"}, secret))
	secret.Data[naming.CookieKey] = []byte("Edited")
	must(w.present.Update(t.Context(), secret))
	settle(t, w)
	if diff := cmp.Diff(before, w.description()); diff != "" || w.cookie() != cookie {
		t.Errorf("the cookie changed: %t (-before +after):\n%s", w.cookie() != cookie, diff)
	}
}

// A manager whose cache has a cluster that was deleted and created again under its name
// neither deletes nor adopts what belongs to the new one.
func TestStaleManagerLeavesRecreatedClusterAlone(t *testing.T) {
	past := newSimulation(chat(2))
	settle(t, past)
	// The last that the manager sees is a scale-down; then everything is deleted and
	// created again.
	past.edit(func(s *v1alpha1.ErlangClusterSpec) { one := int32(1); s.Replicas = &one })

	recreated := chat(2)
	recreated.UID = types.UID("recreated")
	present := newSimulation(recreated)
	present.uids = 10_000
	settle(t, present)
	before, writes := present.description(), present.writes
	objects := versionsOf(present)

	manager := present.manager(past.present)
	for range 3 {
		_, err := manager.reconcile(t.Context(), past.cluster())
		if err == nil {
			t.Log("no error; what matters is what became of the new cluster")
		}
	}
	if diff := cmp.Diff(objects, versionsOf(present)); diff != "" {
		t.Errorf("the new cluster's objects were written to, %d times (-before +after):\n%s", present.writes-writes, diff)
	}
	if diff := cmp.Diff(before, present.description()); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

// A manager whose cache does not have the status yet that it has just written records no
// event again.
func TestEventsAreRecordedOnce(t *testing.T) {
	w := newSimulation(chat(2))
	settle(t, w)
	cluster := w.cluster()
	cluster.Status.Conditions = nil
	must(w.present.Status().Update(t.Context(), cluster))
	past := w.copied()
	manager := w.manager(past.present)
	recorder := manager.Recorder.(*events.FakeRecorder)
	for pass, want := range []int{1, 0, 0} {
		if _, err := manager.reconcile(t.Context(), past.cluster()); err != nil {
			t.Fatal(err)
		}
		if got := len(recorder.Events); got != want {
			t.Errorf("pass %d: %d events, want %d", pass, got, want)
		}
		for len(recorder.Events) > 0 {
			t.Log(<-recorder.Events)
		}
	}
}

func versionsOf(w *simulation) map[string]string {
	versions := map[string]string{}
	for _, object := range w.objects() {
		versions[fmt.Sprintf("%T %s", object, object.GetName())] = object.GetResourceVersion()
	}
	return versions
}
