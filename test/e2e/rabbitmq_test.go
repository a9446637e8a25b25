//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// RabbitMQ as docs/examples/rabbitmq has it serves publishers and a consumer while both
// credentials rotate, the probe is killed and all pods are replaced: no confirmed message
// is lost, no probe of the kubelet restarts a container, and no member sees another go
// down but the one that is replaced.
func TestRabbitMQ(t *testing.T) {
	t.Parallel()
	volumes := t.TempDir() // deleted after the namespace
	ns := harness.Namespace(t)
	harness.LocalVolumes(t, volumes, ns, "data-rabbitmq-0", "data-rabbitmq-1", "data-rabbitmq-2")
	c := harness.StartExample(t, ns, "rabbitmq", "rabbitmq")
	pods := harness.Must(c.Restarts(t.Context(), 3))(t)
	checkRabbitMQTools(t, c)
	address := kubectl.Must(t, "get", "service", c.Name, "-n", ns, "-o", "jsonpath={.spec.clusterIP}:{.spec.ports[0].port}")
	traffic := harness.StartAMQP(t, "amqp://shop:change-me@"+address+"/", 3)
	logs := c.FollowLogs(t, 3)

	c.RotateCookie(t, 3, "next")
	c.RotateCA(t, 3, "next")
	kubectl.Must(t, "delete", "pods", "-n", ns, "-l", "erlang-operator.dev/component=probe", "--grace-period=0", "--force")
	c.AwaitReady(t, 3)
	checkRabbitMQTools(t, c)
	c.CheckRestarts(t, 3, pods)
	t.Logf("while the credentials were rotated: %s", traffic)
	if down := wentDown(logs()); len(down) > 0 {
		t.Errorf("nodes went down before any pod was replaced: %v", down)
	}

	begun := time.Now()
	c.Patch(t, `{"template":{"metadata":{"annotations":{"rollout":"1"}}}}`)
	awaitReplaced(t, c, 3, pods)
	t.Logf("the rollout took %s", time.Since(begun).Round(time.Second))
	traffic.Check(t)
	checkNoRestarts(t, c)
	for pod, log := range logs() { // of the replaced pods
		checkWentDownOnce(t, pod, log)
	}
	for ordinal := range 3 {
		checkWentDownOnce(t, c.Pod(ordinal), kubectl.Must(t, "logs", "-n", ns, c.Pod(ordinal)))
	}
}

// checkRabbitMQTools runs those that speak to one member, and those that speak to all.
func checkRabbitMQTools(t *testing.T, c harness.Cluster) {
	t.Helper()
	for _, test := range []struct{ command, want string }{
		{"rabbitmq-diagnostics check_running", "fully booted and running"},
		{"rabbitmq-diagnostics ping", "Ping succeeded"},
		{"rabbitmqctl cluster_status", c.Node(2) + ": RabbitMQ 4"},
		{"rabbitmqctl list_queues --timeout 120", "Listing queues"},
		{"rabbitmqctl eval nodes().", c.Node(1)},
	} {
		want := strings.ReplaceAll(test.want, c.Name+"@", "rabbit@")
		got, err := c.Exec(t.Context(), 0, append([]string{"/run/erlang-operator/bin/visitor"}, strings.Fields(test.command)...)...)
		if err != nil || !strings.Contains(got, want) {
			t.Errorf("%s: %v: %s; want %q", test.command, err, got, want)
		}
	}
}

// awaitReplaced waits until all pods are others than before, and the cluster is Ready.
func awaitReplaced(t *testing.T, c harness.Cluster, members int, before string) {
	t.Helper()
	await.Until(t, 10*time.Minute, "all pods are replaced", func(ctx context.Context) error {
		now, err := c.Restarts(ctx, members)
		for line := range strings.Lines(now) {
			if err == nil && strings.Contains(before, line) {
				err = fmt.Errorf("still there: %s", line)
			}
		}
		return err
	})
	c.AwaitReady(t, members)
}

func checkNoRestarts(t *testing.T, c harness.Cluster) {
	t.Helper()
	counts := kubectl.Must(t, "get", "pods", "-n", c.Namespace, "-o", "jsonpath={.items[*].status.containerStatuses[*].restartCount}")
	if strings.Trim(counts, "0 ") != "" {
		t.Errorf("containers have restarted: %s", counts)
	}
}

var nodeDown = regexp.MustCompile(`rabbit on node '?(rabbit@[^' ]+)'? down`)

// wentDown are the nodes that went down, according to the logs of the pods.
func wentDown(logs map[string]string) (nodes []string) {
	for _, log := range logs {
		for _, match := range nodeDown.FindAllStringSubmatch(log, -1) {
			nodes = append(nodes, match[1])
		}
	}
	return nodes
}

// checkWentDownOnce requires that a pod saw each of the other nodes go down no more than
// the one time that its pod was replaced.
func checkWentDownOnce(t *testing.T, pod, log string) {
	t.Helper()
	times := map[string]int{}
	for _, node := range wentDown(map[string]string{pod: log}) {
		times[node]++
		if times[node] > 1 {
			t.Errorf("%s saw %s go down %d times", pod, node, times[node])
		}
	}
}
