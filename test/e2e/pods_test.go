//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// A pod that does not run, or is not Ready for the kubelet, makes the cluster not Ready, with
// the cause and the remedy, whatever the mesh is like.
func TestPodsThatAreNotReady(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		command, container, reason string
		contains                   []string
	}{
		"readiness": {
			container: `readinessProbe: {exec: {command: [sh, -c, "echo no quorum; exit 1"]}, periodSeconds: 1}`,
			reason:    v1alpha1.ReasonPodsPending, // It may still be starting.
			contains:  []string{"Pod chat-0 is running, and the readiness probe of container node has not passed yet: Readiness probe failed: no quorum."},
		},
		"liveness": {
			container: `livenessProbe: {tcpSocket: {port: 4444}, periodSeconds: 1, failureThreshold: 2}`,
			reason:    v1alpha1.ReasonLivenessProbeFailing,
			contains:  []string{"container node of pod chat-0 because its liveness probe fails: Liveness probe failed: dial tcp ", ":4444: connect: connection refused. Restarts: ", "livenessProbe of template.spec.containers[node]"},
		},
		"without ssl": { // In embedded mode the BEAM loads from kernel and stdlib alone, as a release does that lacks the application.
			command: `[erl, -noinput, -mode, embedded]`,
			reason:  v1alpha1.ReasonPodFailing,
			contains: []string{"Container node of pod chat-0 ended with exit code 1 (Error): Protocol 'inet_tls': not supported. ",
				"add :ssl to extra_applications in mix.exs"},
		},
		"out of memory": {
			command:   `[erl, -noinput, -eval, "binary:copy(<<1>>, 300000000)."]`,
			container: `resources: {limits: {memory: 64Mi}}`,
			reason:    v1alpha1.ReasonPodFailing,
			contains:  []string{"exit code 137 (OOMKilled). ", "raise resources.limits.memory of template.spec.containers[node]"},
		},
		"two nodes": {
			command:  `[sh, -c, "erl -noinput & until epmd -names | grep -q chat; do sleep 1; done; exec erl -noinput"]`,
			reason:   v1alpha1.ReasonPodFailing,
			contains: []string{"(Error): chat@chat-0.chat-nodes.", " runs already. Another BEAM of the pod has taken the name of the node", "Run it through /run/erlang-operator/bin/visitor."},
		},
		"no such command": {
			command:  `[/app/bin/chat, start]`,
			reason:   v1alpha1.ReasonPodFailing,
			contains: []string{"/app/bin/chat", "The image has no such program: correct command of template.spec.containers[node]."},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := harness.Cluster{Namespace: harness.Namespace(t), Name: "chat"}
			manifest := harness.Manifest(c.Namespace, c.Name, 1, "27")
			if test.command != "" {
				manifest = strings.ReplaceAll(manifest, "[erl, -noinput]", test.command)
			}
			kubectl.MustApply(t, manifest+"        "+test.container+"\n")
			awaitMessage(t, c, test.reason, test.contains)
		})
	}
}

// awaitMessage waits until Ready and NodesReady have a reason, and a message with all of
// these texts.
func awaitMessage(t *testing.T, c harness.Cluster, reason string, contains []string) {
	t.Helper()
	await.Until(t, 4*time.Minute, "the cluster is "+reason, func(ctx context.Context) error {
		read, err := c.Read(ctx)
		if err != nil {
			return err
		}
		ready := meta.FindStatusCondition(read.Status.Conditions, v1alpha1.ConditionReady)
		nodes := meta.FindStatusCondition(read.Status.Conditions, v1alpha1.ConditionNodesReady)
		if nodes == nil || nodes.Reason != reason || ready.Reason != reason || ready.Message != nodes.Message {
			return fmt.Errorf("Ready is %+v\nNodesReady is %+v", ready, nodes)
		}
		for _, text := range contains {
			if !strings.Contains(nodes.Message, text) {
				return fmt.Errorf("the message does not contain %q: %s", text, nodes.Message)
			}
		}
		t.Log(nodes.Message)
		return nil
	})
}
