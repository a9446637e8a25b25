//go:build erlang

package erlang

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// Of the BEAMs of a pod only one is the node: what it starts inherits nothing, and a
// second one with its flags reports what to do instead, and does it no harm.
func TestOneNodePerPod(t *testing.T) {
	for _, discovery := range []string{"EPMD", "FixedPort"} {
		t.Run(discovery, func(t *testing.T) {
			onEachRelease(t, func(t *testing.T, otp string) {
				c := newCluster(t)
				host := c.Host("chat-0")
				host.EPMD(otp)
				identity := c.ca.Issue(host.Name)
				node := startMember(t, host, identity, c.ca.PEM, otp, discovery)

				checkChildren(t, node)
				checkSecond(t, node)
				mustDial(t, c.dialer(node), node.Name)

				checkRestart(t, c.dialer(node), node.Name)

				// The name of a node that was killed does not keep the next one from starting.
				node.Kill()
				mustDial(t, c.dialer(node), startMember(t, host, identity, c.ca.PEM, otp, discovery).Name)
			})
		})
	}
}

// checkChildren starts a BEAM in a node, by a shell and as a peer. A visitor does it.
func checkChildren(t *testing.T, node *beam.Node) {
	t.Helper()
	const evaluate = `{ok, T, _} = erl_scan:string(os:getenv("EXPRESSION") ++ "."), {ok, E} = erl_parse:parse_exprs(T),
		{value, Value, _} = rpc:call(list_to_atom(os:getenv("ERLANG_NODE")), erl_eval, exprs, [E, []]), io:write(Value), halt().`
	for expression, want := range map[string]string{
		`os:getenv("ERL_ZFLAGS")`: "false",
		`os:cmd("erl -noinput -eval 'io:write(node()), halt().'") =:= "nonode@nohost"`: "true",
		`begin
			[_, Host] = string:split(atom_to_list(node()), "@"),
			{ok, Peer, Name} = peer:start(#{name => peer:random_name(), host => Host, longnames => true, wait_boot => 60000,
				args => string:lexemes(os:getenv("ERLANG_OPERATOR_SHARED_FLAGS"), " ") ++ ["-dist_listen", "false"]}),
			Pong = net_adm:ping(Name), peer:stop(Peer), Pong
		end`: "pong",
	} {
		if got := inPod(t, node, "EXPRESSION="+expression, "/run/erlang-operator/bin/visitor", "erl", "-noinput", "-eval", evaluate); got != want {
			t.Errorf("%s is %s, want %s", expression, got, want)
		}
	}
}

// checkSecond starts a BEAM with the flags of the node, while that runs.
func checkSecond(t *testing.T, node *beam.Node) {
	t.Helper()
	second := node.Exec()
	_, err := exec.CommandContext(deadline(t), second[0], append(second[1:], "erl", "-noinput")...).Output()
	exit := new(exec.ExitError)
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("a second node ends with %v", err)
		return
	}
	if text := string(exit.Stderr); !strings.HasPrefix(text, node.Name+" runs already.") || !strings.Contains(text, "/run/erlang-operator/bin/visitor ") || strings.Count(text, "\n") != 1 {
		t.Errorf("a second node prints %q", text)
	}
}

// checkRestart has a node start anew in its own process, where its name is its own.
func checkRestart(t *testing.T, dialer *erldist.Dialer, node string) {
	t.Helper()
	conn := mustDial(t, dialer, node)
	mustCall(t, conn, "application", "set_env", erldist.Atom("kernel"), erldist.Atom("former"), erldist.Atom("true"))
	_, _ = conn.Call(deadline(t), "init", "restart") // It may have no time to answer.
	await.Until(t, 2*time.Minute, "restart of the node", func(ctx context.Context) error {
		conn, err := dialer.Dial(ctx, node)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		former, err := conn.Call(ctx, "application", "get_env", erldist.Atom("kernel"), erldist.Atom("former"))
		if err == nil && former != erldist.Term(erldist.Atom("undefined")) {
			return errors.New("it has not restarted")
		}
		return err
	})
}

// inPod runs a command as kubectl exec does.
func inPod(t *testing.T, node *beam.Node, command ...string) string {
	t.Helper()
	words := append(node.Exec(), command...)
	out, err := exec.CommandContext(deadline(t), words[0], words[1:]...).Output()
	if err != nil {
		t.Errorf("%q: %v", command, err)
	}
	return string(out)
}
