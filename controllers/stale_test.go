package controllers

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

var histories = flag.Uint64("histories", 4, "how many histories to play")

// Managers with late caches die and are restarted, while the user edits and somebody
// deletes owned objects: the cookie stays, and once all of that ends, everything is as in a
// cluster that was created with the last spec.
func TestAnyHistoryEndsTheSame(t *testing.T) {
	for seed := range *histories {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			h := &history{world: newWorld(chat(2)), random: rand.New(rand.NewPCG(seed, 0))}
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
			travel(t, h.world)

			target := chat(0)
			target.Spec = h.cluster().Spec
			fresh := newWorld(target)
			travel(t, fresh)
			if diff := cmp.Diff(fresh.description(), h.description()); diff != "" {
				t.Errorf("(-fresh +this):\n%s", diff)
			}
		})
	}
}

type history struct {
	*world
	random *rand.Rand
	// past are the last few states of the world.
	past  []*world
	first string // cookie
}

func (h *history) remember() {
	h.past = append(h.past, h.copied())
	h.past = h.past[max(0, len(h.past)-4):]
}

// step lets something happen, and says what.
func (h *history) step() string {
	switch h.random.IntN(6) {
	case 0:
		replicas := h.random.Int32N(4)
		h.edit(func(s *v1alpha1.ErlangClusterSpec) { s.Replicas = &replicas })
		return fmt.Sprintf("scaled to %d", replicas)
	case 1:
		return "somebody deleted " + h.deleteOwned()
	case 2:
		h.others()
		return "the others acted"
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
		// What it cannot do it will do in another pass.
		_, err := h.manager(seen.present).reconcile(context.Background(), seen.cluster())
		return fmt.Sprintf("a manager saw the world of %d steps ago: %v", age, err)
	}
}

// deleteOwned deletes one object of the cluster, except the cookie.
func (h *history) deleteOwned() string {
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

// A manager whose cache still has a deleted cluster neither deletes nor takes over the
// objects of a new cluster of that name.
func TestNamesakeIsLeftAlone(t *testing.T) {
	past := newWorld(chat(2))
	travel(t, past)
	// The user scales down, and the manager sees that last; then all of it is deleted
	// and made anew.
	past.edit(func(s *v1alpha1.ErlangClusterSpec) { one := int32(1); s.Replicas = &one })

	namesake := chat(2)
	namesake.UID = types.UID("the-namesake")
	present := newWorld(namesake)
	present.uids = 10_000
	travel(t, present)
	before, writes := present.description(), present.writes
	objects := versionsOf(present)

	manager := present.manager(past.present)
	for range 3 {
		_, err := manager.reconcile(t.Context(), past.cluster())
		if err == nil {
			t.Log("no error; what matters is what became of the namesake")
		}
	}
	if diff := cmp.Diff(objects, versionsOf(present)); diff != "" {
		t.Errorf("the namesake's objects were written to, %d times (-before +after):\n%s", present.writes-writes, diff)
	}
	if diff := cmp.Diff(before, present.description()); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

func versionsOf(w *world) map[string]string {
	versions := map[string]string{}
	for _, object := range w.objects() {
		versions[fmt.Sprintf("%T %s", object, object.GetName())] = object.GetResourceVersion()
	}
	return versions
}
