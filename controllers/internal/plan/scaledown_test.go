package plan_test

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
)

// From five nodes to two, one is removed at a time.
func TestScaleDownOneByOne(t *testing.T) {
	for name, test := range map[string]struct {
		pods     int
		leaving  time.Duration // since the end of the grace period of the last; 0 when it stays
		replicas int32
	}{
		"the last one":        {pods: 5, replicas: 4},
		"while it terminates": {pods: 5, leaving: time.Second, replicas: 4},
		"then the next":       {pods: 4, replicas: 3},
		"none is left":        {pods: 2, replicas: 2},
		"one that is stuck":   {pods: 5, leaving: time.Minute, replicas: 3},
	} {
		t.Run(name, func(t *testing.T) {
			situation := situationOf(t, "credentials-there")
			situation.StatefulSet = &statetest.StatefulSet{Replicas: 5}
			for ordinal := range test.pods {
				situation.Pods = append(situation.Pods, statetest.Pod{Name: fmt.Sprintf("chat-%d", ordinal)})
			}
			seen := situation.Seen(statetest.MustCluster(`{metadata: {name: chat}, spec: {replicas: 2, template: {spec: {containers: [{name: chat}]}}}}`))
			if test.leaving > 0 {
				seen.Pods[test.pods-1].DeletionTimestamp = &metav1.Time{Time: seen.Now.Add(-test.leaving)}
			}
			made := plan.Make(seen, operator, freshCookie)
			if got := *statefulSet(made).Spec.Replicas; got != test.replicas {
				t.Errorf("the StatefulSet has %d replicas, want %d", got, test.replicas)
			}
			if again := made.Again.After(seen.Now); again != (name == "while it terminates") {
				t.Errorf("at %s another pass is planned for %s", seen.Now, made.Again)
			}
		})
	}
}
