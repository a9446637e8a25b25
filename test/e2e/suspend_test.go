//go:build e2e

package e2e

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// A suspended cluster is left to the hand that works on it: a node that is cut off is
// reported and not linked again, and a change of the template restarts nothing. Resumed, that
// is made up for. One that is suspended can be deleted.
func TestSuspend(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Namespace(t), "chat", 3, "27")
	before := uids(t, c)
	c.Patch(t, `{"suspend":true}`)
	c.AwaitCondition(t, v1alpha1.ConditionSuspended, metav1.ConditionTrue, v1alpha1.ReasonSuspended)
	c.Patch(t, `{"template":{"metadata":{"annotations":{"change":"1"}}}}`)
	harness.Must(c.Eval(t.Context(), 1, `[erlang:disconnect_node(N) || N <- nodes()]`))(t)
	c.AwaitCondition(t, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPartitioned, "Nobody reconnects them while suspend is true")
	if peers := harness.Must(c.Peers(t.Context(), 1))(t); len(peers) > 0 {
		t.Errorf("%s was linked to %v", c.Pod(1), peers)
	}
	if diff := cmp.Diff(before, uids(t, c)); diff != "" {
		t.Errorf("pods were replaced (-before +after):\n%s", diff)
	}
	c.Patch(t, `{"suspend":false}`)
	c.AwaitReady(t, 3)
	for ordinal, uid := range uids(t, c) {
		if uid == before[ordinal] {
			t.Errorf("%s has not got the latest template", c.Pod(ordinal))
		}
	}

	c.Patch(t, `{"suspend":true}`)
	c.AwaitCondition(t, v1alpha1.ConditionSuspended, metav1.ConditionTrue, v1alpha1.ReasonSuspended)
	kubectl.Must(t, "delete", "erlangcluster", c.Name, "-n", c.Namespace, "--cascade=foreground", "--timeout=3m")
}
