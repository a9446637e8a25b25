//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// manifest is an ErlangCluster of bare nodes. extra are further lines of its spec.
func manifest(namespace, name string, replicas int, otp string, extra ...string) string {
	var lines strings.Builder
	for _, line := range extra {
		lines.WriteString("  " + line + "\n")
	}
	return fmt.Sprintf(`apiVersion: erlang-operator.dev/v1alpha1
kind: ErlangCluster
metadata:
  name: %s
  namespace: %s
spec:
  replicas: %d
%s  template:
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - name: node
        image: erlang-operator/erlang:%s
        command: [erl, -noinput]
`, name, namespace, replicas, lines.String(), otp)
}

// cluster is an ErlangCluster under test.
type cluster struct {
	t         *testing.T
	namespace string
	name      string
}

// start makes a cluster and waits until it is proven.
func start(t *testing.T, namespace, name string, replicas int, otp string, extra ...string) cluster {
	t.Helper()
	if err := apply(t, manifest(namespace, name, replicas, otp, extra...)); err != nil {
		t.Fatal(err)
	}
	c := cluster{t, namespace, name}
	c.awaitWhole(replicas)
	return c
}

func (c cluster) read() (*v1alpha1.ErlangCluster, error) {
	var read v1alpha1.ErlangCluster
	return &read, get(c.t, &read, "erlangcluster", c.name, "-n", c.namespace)
}

// condition is a condition that is about the latest spec.
func (c cluster) condition(name string) (metav1.Condition, error) {
	read, err := c.read()
	if err != nil {
		return metav1.Condition{}, err
	}
	condition := meta.FindStatusCondition(read.Status.Conditions, name)
	if condition == nil || condition.ObservedGeneration != read.Generation {
		return metav1.Condition{}, fmt.Errorf("no condition %s for generation %d", name, read.Generation)
	}
	return *condition, nil
}

// awaitWhole waits until the cluster is Ready with so many nodes, all linked, and
// nothing under way.
func (c cluster) awaitWhole(replicas int) {
	c.t.Helper()
	eventually(c.t, 3*time.Minute, fmt.Sprintf("%s is Ready with %d nodes", c.name, replicas), func() error {
		read, err := c.read()
		if err != nil {
			return err
		}
		ready := meta.FindStatusCondition(read.Status.Conditions, v1alpha1.ConditionReady)
		switch {
		case ready == nil || ready.Status != metav1.ConditionTrue || ready.ObservedGeneration != read.Generation:
			return fmt.Errorf("Ready is %+v", ready)
		case meta.IsStatusConditionTrue(read.Status.Conditions, v1alpha1.ConditionReconciling):
			return fmt.Errorf("still reconciling: %+v", meta.FindStatusCondition(read.Status.Conditions, v1alpha1.ConditionReconciling))
		}
		nodes, links := fmt.Sprintf("%d/%d", replicas, replicas), fmt.Sprintf("%[1]d/%[1]d", replicas*(replicas-1)/2)
		if read.Status.Nodes != nodes || read.Status.Links != links {
			return fmt.Errorf("NODES %s LINKS %s, want %s and %s", read.Status.Nodes, read.Status.Links, nodes, links)
		}
		return nil
	})
}

// awaitCondition waits until a condition has a status and reason, and gives it.
func (c cluster) awaitCondition(within time.Duration, name string, status metav1.ConditionStatus, reason string) metav1.Condition {
	c.t.Helper()
	var condition metav1.Condition
	eventually(c.t, within, fmt.Sprintf("%s of %s is %s, %s", name, c.name, status, reason), func() error {
		var err error
		if condition, err = c.condition(name); err != nil {
			return err
		}
		if condition.Status != status || condition.Reason != reason {
			return fmt.Errorf("it is %s, %s: %s", condition.Status, condition.Reason, condition.Message)
		}
		return nil
	})
	return condition
}

func (c cluster) pod(ordinal int) string { return fmt.Sprintf("%s-%d", c.name, ordinal) }

func (c cluster) node(ordinal int) string {
	return fmt.Sprintf("%s@%s.%s-nodes.%s.svc.cluster.local", c.name, c.pod(ordinal), c.name, c.namespace)
}

// eval evaluates an Erlang expression in a member, from a hidden node in its pod
// that shows the pod's own certificate. The cookie is the one that the pod started
// with, unless another is given.
func (c cluster) eval(ordinal int, expression string, cookie ...string) string {
	c.t.Helper()
	out := c.tryEval(ordinal, expression, cookie...)
	value, found := strings.CutPrefix(out, "{value,")
	if !found {
		c.t.Fatalf("%s in %s: %s", expression, c.pod(ordinal), out)
	}
	return value[:strings.LastIndex(value, ",")]
}

// tryEval is eval that gives whatever comes back.
func (c cluster) tryEval(ordinal int, expression string, cookie ...string) string {
	c.t.Helper()
	value := "$ERLANG_COOKIE"
	if len(cookie) > 0 {
		value = cookie[0]
	}
	script := fmt.Sprintf(`unset ERL_ZFLAGS; me=shell-$$@${ERLANG_NODE#*@}; exec erl -noinput -hidden -dist_listen false -name $me \
  -proto_dist inet_tls -ssl_dist_optfile /run/erlang-operator/distribution/inet_tls.conf -nocookie -setcookie $me %s \
  %s -eval '{ok, T, _} = erl_scan:string(os:getenv("EXPRESSION") ++ "."), {ok, E} = erl_parse:parse_exprs(T),
    io:format("~0p", [rpc:call(list_to_atom(os:getenv("ERLANG_NODE")), erl_eval, exprs, [E, []])]), halt().'`, value, c.epmdless())
	out, err := kubectl(c.t.Context(), "", "exec", "-n", c.namespace, c.pod(ordinal), "-c", "node", "--",
		"env", "EXPRESSION="+expression, "sh", "-c", script)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// epmdless are the flags that a node needs besides, to find a member that has no
// epmd.
func (c cluster) epmdless() string {
	read, err := c.read()
	if err != nil {
		c.t.Fatal(err)
	}
	if read.Spec.Distribution.Discovery != v1alpha1.DiscoveryFixedPort {
		return ""
	}
	return fmt.Sprintf("-start_epmd false -erl_epmd_port %d", read.Spec.Distribution.Ports.Min)
}

// peers are the nodes that a member is linked to, sorted.
func (c cluster) peers(ordinal int) []string {
	c.t.Helper()
	list := strings.Trim(c.eval(ordinal, "lists:sort(nodes())"), "[]")
	if list == "" {
		return nil
	}
	peers := strings.Split(strings.ReplaceAll(list, "'", ""), ",")
	slices.Sort(peers)
	return peers
}

// podUID tells one pod from another of the same name.
func (c cluster) podUID(ordinal int) string {
	c.t.Helper()
	return must(c.t, "get", "pod", c.pod(ordinal), "-n", c.namespace, "-o", "jsonpath={.metadata.uid}")
}
