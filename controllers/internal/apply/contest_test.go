package apply

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
)

// What is changed again and again is restored with ever longer pauses, and at once again
// when it was left alone for a while.
func TestContestedObjectIsRestoredWithPauses(t *testing.T) {
	observed := statetest.Situation{}.Seen(statetest.MustCluster("metadata: {name: chat, namespace: shop}\nspec: {template: {spec: {containers: [{name: chat, image: x}]}}}"))
	id, fields := objectID{"Deployment", "chat-probe"}, fieldpath.NewSet(fieldpath.MakePathOrDie("spec", "replicas"))
	a := &Applier{}
	fight := func(times int) (pauses []time.Duration) {
		for range times {
			a.contestsOf(observed).restored(id, []string{"other"}, fields, observed.Now)
			again := a.contestsOf(observed)[id].Again
			pauses = append(pauses, again.Sub(observed.Now))
			observed.Now = again.Add(time.Second)
		}
		return pauses
	}
	want := []time.Duration{0, 0, 0, 0, 10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second,
		160 * time.Second, 320 * time.Second, 10 * time.Minute, 10 * time.Minute}
	if diff := cmp.Diff(want, fight(len(want))); diff != "" {
		t.Errorf("pauses (-want +got):\n%s", diff)
	}
	contests := a.Contests(observed)
	if len(contests) != 1 || contests[0].Object != "Deployment chat-probe" || contests[0].Restored != len(want) ||
		!cmp.Equal(contests[0].Fields, []string{"spec.replicas"}) || !cmp.Equal(contests[0].Managers, []string{"other"}) {
		t.Errorf("contests %+v", contests)
	}
	observed.Now = observed.Now.Add(calm)
	if diff := cmp.Diff([]state.Contest(nil), a.Contests(observed)); diff != "" {
		t.Errorf("it is over (-want +got):\n%s", diff)
	}
	if pause := fight(1)[0]; pause != 0 {
		t.Errorf("the next one is restored after %s", pause)
	}
}
