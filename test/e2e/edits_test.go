//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// A member whose labels somebody has removed, and which no controller can therefore replace,
// is named with the command that restores them. It has not restarted then.
func TestLabelsOfAMemberRemoved(t *testing.T) {
	t.Parallel()
	c := startFaultTested(t)
	kubectl.Must(t, "label", "pod", c.Pod(1), "-n", c.Namespace, v1alpha1.Group+"/cluster-")
	command := fmt.Sprintf("kubectl label --namespace=%s --overwrite pod chat-1 %[2]s/cluster=chat %[2]s/component=node", c.Namespace, v1alpha1.Group)
	c.AwaitCondition(t, v1alpha1.ConditionNodesReady, metav1.ConditionFalse, v1alpha1.ReasonNameConflict, command)
	kubectl.Must(t, "label", "--namespace="+c.Namespace, "--overwrite", "pod", c.Pod(1), v1alpha1.Group+"/cluster=chat", v1alpha1.Group+"/component=node")
	c.AwaitReady(t, faultMembers)
	c.checkNothingLost(t)
}

// What somebody writes into the status, or removes from it, is soon as before, and a
// rotation of the CA, of which they have written too, comes to an end.
func TestStatusEdited(t *testing.T) {
	t.Parallel()
	c := startFaultTested(t)
	rotation := `{"rotation":[{"credential":"CA","phase":"Reissuing","since":"2020-01-01T00:00:00Z"}]}`
	c.Patch(t, `{"tls":{"ca":{"rotationID":"next"}}}`)
	for _, status := range []string{rotation, `{"mesh":null}`, `{"mesh":{"nodes":[]}}`, rotation, `{"nodes":"99/99","conditions":null}`} {
		kubectl.Must(t, "patch", "erlangcluster", c.Name, "-n", c.Namespace, "--subresource=status", "--type=merge", "-p", `{"status":`+status+`}`)
		await.Until(t, restoredWithin, "the report is there again", func(ctx context.Context) error {
			mesh, err := c.Mesh(ctx)
			if err == nil && len(mesh.Nodes) != faultMembers {
				err = fmt.Errorf("it has %d nodes", len(mesh.Nodes))
			}
			return err
		})
	}
	c.AwaitReady(t, faultMembers)
	c.checkNothingLost(t)
}
