package plan_test

import (
	"strings"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
)

// A pod without identity is replaced: at once if it is older than the policy, and every
// five minutes, with a problem, if the policy has no effect.
func TestIneffectiveAdmissionPolicy(t *testing.T) {
	for name, test := range map[string]struct {
		policyAge, podAge time.Duration
		problem, deleted  bool
		foreign           bool
	}{
		"a pod from before the policy": {time.Minute, time.Hour, false, true, false},
		"a pod of the same moment":     {time.Minute, 30 * time.Second, false, true, false},
		"a pod that the policy missed": {time.Hour, time.Second, true, false, false},
		"the same after some minutes":  {time.Hour, 4 * time.Minute, true, false, false},
		"the same after the interval":  {time.Hour, 6 * time.Minute, true, true, false},
		"a pod of somebody else's":     {time.Minute, time.Hour, false, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := statetest.Situation{
				CA: "blue", Trust: []string{"blue"}, Cookie: "TheCookieOfTheCluster",
				Issued:      []statetest.Issued{{To: "chat-probe", By: "blue"}, {To: "chat-0", By: "blue"}},
				StatefulSet: &statetest.StatefulSet{Replicas: 1},
				Pods:        []statetest.Pod{{Name: "chat-0", WithoutIdentity: true}},
			}.Seen(statetest.MustCluster("metadata: {name: chat, namespace: shop}\nspec: {replicas: 1, template: {spec: {containers: [{name: chat, image: x}]}}}"))
			if test.foreign {
				s.Pods[0].OwnerReferences = nil
			}
			s.Admission.Since = s.Now.Add(-test.policyAge)
			s.Pods[0].CreationTimestamp.Time = s.Now.Add(-test.podAge)
			p := plan.Make(s, plan.Operator{Image: "x"}, "cookie")
			deleted := false
			for _, object := range p.Delete {
				deleted = deleted || object.GetName() == "chat-0"
			}
			problem := len(p.Problems) == 1 && p.Problems[0].Reason == v1alpha1.ReasonPodIdentityMissing &&
				strings.Contains(p.Problems[0].Message, "pod chat-0")
			if deleted != test.deleted || problem != test.problem || !problem && len(p.Problems) > 0 {
				t.Errorf("deleted: %t, problems: %v", deleted, p.Problems)
			}
		})
	}
}
