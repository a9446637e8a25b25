//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// Nodes that the application is to connect are connected by nothing else. Whether they are
// is reported, and a rotation of the cookie reaches them. To have the probe connect them
// restarts nothing.
func TestFormationByTheApplication(t *testing.T) {
	t.Parallel()
	c := harness.Cluster{Namespace: harness.Namespace(t), Name: "chat"}
	kubectl.MustApply(t, harness.Manifest(c.Namespace, c.Name, 3, "27", "distribution: {formation: Application}"))
	await.Until(t, 6*time.Minute, "all nodes are verified", func(ctx context.Context) error {
		read, err := c.Read(ctx)
		if err == nil && read.Status.VerifiedNodes < 3 {
			err = fmt.Errorf("NODES %s", read.Status.Nodes)
		}
		return err
	})
	const says = "The application is to connect them"
	c.AwaitCondition(t, v1alpha1.ConditionMeshConnected, metav1.ConditionFalse, v1alpha1.ReasonPartitioned, says)
	for ordinal := 1; ordinal < 3; ordinal++ {
		if got := harness.Must(c.Eval(t.Context(), ordinal, fmt.Sprintf("net_kernel:connect_node('%s')", c.Node(0))))(t); got != "true" {
			t.Fatalf("%s cannot connect: %s", c.Pod(ordinal), got)
		}
	}
	c.AwaitReady(t, 3)

	before, cookie := uids(t, c), harness.Must(c.Cookie(t.Context()))(t)
	c.Patch(t, `{"cookie":{"rotationID":"2"}}`)
	c.AwaitReady(t, 3)
	if harness.Must(c.Cookie(t.Context()))(t) == cookie {
		t.Error("the cookie was not rotated")
	}
	disconnect(t, c, 1, says)
	c.Patch(t, `{"distribution":{"formation":"Operator"}}`)
	c.AwaitReady(t, 3)
	if diff := cmp.Diff(before, uids(t, c)); diff != "" {
		t.Errorf("pods were replaced (-before +after):\n%s", diff)
	}
}
