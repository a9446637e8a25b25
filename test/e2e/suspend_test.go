//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/test/await"
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
	disconnect(t, c, 1, "Nobody reconnects them while suspend is true")
	time.Sleep(10 * time.Second) // in which the probe sweeps twice, and would link them
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

// disconnect ends the links of a member, until the cluster is not Ready because of that. It may take
// more than one try: if the probe has just had another member call this one, that links them again.
func disconnect(t *testing.T, c harness.Cluster, ordinal int, says string) {
	t.Helper()
	await.Until(t, 4*time.Minute, "Ready is False, "+v1alpha1.ReasonPartitioned, func(ctx context.Context) error {
		if _, err := c.Eval(ctx, ordinal, `[erlang:disconnect_node(N) || N <- nodes()]`); err != nil {
			return err
		}
		ready, err := c.Condition(ctx, v1alpha1.ConditionReady)
		if err == nil && (ready.Status != metav1.ConditionFalse || ready.Reason != v1alpha1.ReasonPartitioned || !strings.Contains(ready.Message, says)) {
			err = fmt.Errorf("it is %s, %s: %s", ready.Status, ready.Reason, ready.Message)
		}
		return err
	})
}
