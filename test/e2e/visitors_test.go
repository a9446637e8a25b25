//go:build e2e

package e2e

import (
	"strings"
	"testing"

	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// pingByExec are probes that start a BEAM, which connects to the node of its pod. They are few and
// patient, since each takes a second of CPU: that none of many fails is TestStrictProbes.
const pingByExec = `        readinessProbe:
          periodSeconds: 10
          timeoutSeconds: 60
          exec: {command: [erl, -noinput, -eval, 'pong = net_adm:ping(list_to_atom(os:getenv("ERLANG_NODE"))), halt().']}
        livenessProbe:
          initialDelaySeconds: 20
          periodSeconds: 10
          timeoutSeconds: 60
          exec: {command: [erl, -noinput, -eval, 'pong = net_adm:ping(list_to_atom(os:getenv("ERLANG_NODE"))), halt().']}
`

// Only one BEAM of a pod takes itself for the node: neither probes, nor what a node
// starts, nor what a person starts stops a node, or is mistaken for it.
func TestVisitors(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(manifest string) string{
		"command": func(manifest string) string { return manifest },
		"image":   func(manifest string) string { return strings.Replace(manifest, "command:", "args:", 1) },
		"fixedport": func(manifest string) string {
			return strings.Replace(manifest, "spec:", "spec:\n  distribution: {discovery: FixedPort}", 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := harness.Cluster{Namespace: harness.Namespace(t), Name: "chat"}
			kubectl.MustApply(t, change(harness.Manifest(c.Namespace, c.Name, 2, "27")+pingByExec))
			c.AwaitReady(t, 2)
			before := harness.Must(c.Restarts(t.Context(), 2))(t)
			checkVisitors(t, c)
			if name != "image" {
				checkUnnamed(t, c)
			}

			c.RotateCookie(t, 2, "2026-11")
			checkVisitors(t, c)
			c.AwaitReady(t, 2)
			c.CheckRestarts(t, 2, before)
		})
	}
}

// checkVisitors starts a BEAM from within a node, by a shell and as a peer.
func checkVisitors(t *testing.T, c harness.Cluster) {
	t.Helper()
	for expression, want := range map[string]string{
		`os:getenv("ERL_ZFLAGS")`:                                  "false",
		`os:cmd("erl -noinput -eval 'io:write(node()), halt().'")`: `"nonode@nohost"`,
		`(fun() ->
			[_, Host] = string:split(atom_to_list(node()), "@"),
			{ok, Peer, Node} = peer:start(#{name => peer:random_name(), host => Host, longnames => true, wait_boot => 60000,
				args => string:lexemes(os:getenv("ERLANG_OPERATOR_SHARED_FLAGS"), " ") ++ ["-dist_listen", "false"]}),
			Pong = net_adm:ping(Node), peer:stop(Peer), Pong
		end)()`: "pong",
	} {
		if got := harness.Must(c.Eval(t.Context(), 0, expression))(t); got != want {
			t.Errorf("%s is %s, want %s", expression, got, want)
		}
	}
}

// checkUnnamed starts a BEAM by hand, without the program for it.
func checkUnnamed(t *testing.T, c harness.Cluster) {
	t.Helper()
	out := kubectl.Must(t, "exec", "-n", c.Namespace, c.Pod(1), "-c", "node", "--", "erl", "-noinput", "-eval", "io:write(node()), halt().")
	if out != "nonode@nohost" {
		t.Errorf("erl by hand prints %q", out)
	}
}
