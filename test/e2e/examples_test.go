//go:build e2e

package e2e

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
)

var matrix = flag.Bool("matrix", false, "run the examples with each release of OTP and each discovery")

// An example is one of docs/examples, and what works in its pods.
type example struct {
	name, cluster string
	// discovery is that of its manifest.
	discovery string
	commands  []command
	// evaluate is the command that evaluates an Erlang expression in the node.
	evaluate func(expression string) []string
	// boot are the flags that erl needs in a release, which has no default boot file.
	boot string
	// console is the command of the release's own that opens a shell in the node, if it has one.
	console []string
	// hello is a line for the shell that prints "42 answers".
	hello string
	// stop is the command that stops the node, if there is one.
	stop []string
}

// A command in a pod prints something that contains a text.
type command struct {
	run  []string
	want string
}

var examples = []example{
	{
		name: "elixir", cluster: "chat", discovery: "EPMD",
		commands: []command{
			{[]string{"bin/chat", "rpc", `IO.puts("#{length(Node.list())} others")`}, "2 others"},
			{[]string{"bin/chat", "rpc", `Chat.join("lobby"); IO.puts("heard by #{Chat.say("lobby", "hello")}")`}, "heard by 1"},
			{[]string{"bin/chat", "pid"}, "1"},
			{[]string{"bin/chat", "version"}, "chat 1.0.0"},
			{[]string{"bin/chat", "eval", `IO.puts(node())`}, "nonode@nohost"},
		},
		evaluate: func(expression string) []string {
			return []string{"bin/chat", "rpc", `{:ok, tokens, _} = :erl_scan.string(~C"""` + "\n" + expression + "\n" + `""")
				{:ok, parsed} = :erl_parse.parse_exprs(tokens)
				{:value, value, _} = :erl_eval.exprs(parsed, [])
				IO.puts(:io_lib.format("~0p", [value]))`}
		},
		boot:    "-boot /app/releases/1.0.0/start_clean -boot_var RELEASE_LIB /app/lib",
		console: []string{"bin/chat", "remote"},
		hello:   `IO.puts("#{6 * 7} answers")`,
		stop:    []string{"bin/chat", "stop"},
	},
	{
		name: "relx", cluster: "stock", discovery: "FixedPort",
		commands: []command{
			{[]string{"bin/stock", "ping"}, "pong"},
			{[]string{"bin/stock", "pid"}, "1"},
			{[]string{"bin/stock", "rpc", "stock", "add", "[apples, 3]"}, "stock@stock-2."},
			{[]string{"bin/stock", "eval", "length(nodes())."}, "2"},
		},
		evaluate: func(expression string) []string { return []string{"bin/stock", "eval", expression} },
		boot:     "-boot /app/releases/1.0.0/start_clean -boot_var SYSTEM_LIB_DIR /app/lib",
		console:  []string{"bin/stock", "remote_console"},
		hello:    `io:format("~b answers~n", [6 * 7]).`,
		stop:     []string{"bin/stock", "stop"},
	},
	{
		name: "erl", cluster: "greeter", discovery: "EPMD",
		commands: []command{
			{inNode("length(greeter:greeted_by())."), "2"},
			{[]string{"erl", "-noinput", "-eval", "io:write(node()), halt()."}, "nonode@nohost"},
		},
		evaluate: inNode,
		hello:    `io:format("~b answers~n", [6 * 7]).`,
	},
}

// inNode evaluates an expression in the node of the pod by a visitor.
func inNode(expression string) []string {
	const program = `{ok, T, _} = erl_scan:string(os:getenv("EXPRESSION")), {ok, E} = erl_parse:parse_exprs(T),
		{value, V, _} = rpc:call(list_to_atom(os:getenv("ERLANG_NODE")), erl_eval, exprs, [E, []]),
		io:format("~0p", [V]), halt().`
	return []string{"env", "EXPRESSION=" + expression, "/run/erlang-operator/bin/visitor", "erl", "-noinput", "-eval", program}
}

// The files of docs/examples, as they are, become Ready clusters, and in their pods
// everything works, before and after both rotations: the commands of a release, BEAMs
// that the node starts, and the shell.
func TestExamples(t *testing.T) {
	t.Parallel()
	for _, e := range examples {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			e.test(t, "27", e.discovery)
		})
	}
}

// The same with each release of OTP, each discovery, and over IPv6.
func TestExamplesMatrix(t *testing.T) {
	if !*matrix {
		t.Skip("takes half an hour: run `make soak`, or give -matrix")
	}
	for _, e := range examples {
		for _, otp := range []string{"25", "27", "29"} {
			for _, discovery := range []string{"EPMD", "FixedPort", "IPv6"} {
				t.Run(e.name+"/"+otp+"/"+discovery, func(t *testing.T) {
					t.Parallel()
					if discovery == "IPv6" && !harness.HasIPv6(t) {
						t.Skip("this Kubernetes has no IPv6 addresses: start it with IPV6=1")
					}
					e.test(t, otp, discovery)
				})
			}
		}
	}
}

func (e example) test(t *testing.T, otp, discovery string) {
	c := harness.StartExample(t, harness.Namespace(t), e.name, e.cluster, e.replacements(otp, discovery)...)
	pods := harness.Must(c.Restarts(t.Context(), 3))(t)
	// The nodetool of this old relx listens, on the port that the node has.
	asVisitor := e.name == "relx" && otp == "25" && discovery == "FixedPort"
	e.checkPod(t, c, asVisitor)
	c.RotateCookie(t, 3, "next")
	c.RotateCA(t, 3, "next")
	e.checkPod(t, c, asVisitor)
	c.CheckRestarts(t, 3, pods)
	if asVisitor {
		e.stop = slices.Concat([]string{"/run/erlang-operator/bin/visitor"}, e.stop)
	}
	if e.stop != nil {
		e.checkStop(t, c)
	}
}

// replacements change the manifest from OTP 27 and the discovery that it has to others, or to
// IPv6 with EPMD.
func (e example) replacements(otp, discovery string) []string {
	if otp == "27" && discovery == e.discovery {
		return nil // The files are tested as they are.
	}
	var replacements []string
	if otp != "27" {
		replacements = append(replacements, ":1.0.0", ":1.0.0-otp"+otp)
	}
	distribution := "discovery: " + discovery
	if discovery == "IPv6" {
		distribution = "ipFamily: IPv6"
	}
	if e.discovery == "EPMD" { // by default, so the manifest does not say so
		return append(replacements, "  replicas: 3\n", "  replicas: 3\n  distribution: {"+distribution+"}\n")
	}
	return append(replacements, "discovery: "+e.discovery, distribution)
}

// checkPod runs everything that a person runs in a pod.
func (e example) checkPod(t *testing.T, c harness.Cluster, asVisitor bool) {
	t.Helper()
	var prefix []string
	if asVisitor {
		prefix = []string{"/run/erlang-operator/bin/visitor"}
	}
	children := command{e.evaluate(e.children()), `{false,pong,"nonode@nohost"}`}
	for _, command := range append(e.commands, children) {
		got, err := c.Exec(t.Context(), 0, append(prefix, command.run...)...)
		if err != nil || !strings.Contains(got, command.want) {
			t.Errorf("%q prints %q (%v), want %q", command.run, got, err, command.want)
		}
	}
	if e.console != nil {
		c.Type(t, 1, e.hello, "42 answers", append(prefix, e.console...)...)
	}
	const shell = "/run/erlang-operator/bin/shell"
	c.Type(t, 1, e.hello, "42 answers", shell)
	if got, err := c.ExecWith(t.Context(), e.hello+"\n", 1, shell); err != nil || !strings.Contains(got, "42 answers") {
		t.Errorf("%q piped into the shell prints %q (%v)", e.hello, got, err)
	}
}

// children is an expression that starts BEAMs as children of the node: with the options of
// a visitor, and with none.
func (e example) children() string {
	return fmt.Sprintf(`begin
		[_, Host] = string:split(atom_to_list(node()), "@"), Boot = "%s",
		Flags = string:lexemes(Boot ++ " " ++ os:getenv("ERLANG_OPERATOR_SHARED_FLAGS") ++ " -dist_listen false", " "),
		{ok, Peer, Name} = peer:start(#{name => peer:random_name(), host => Host, longnames => true, wait_boot => 60000, exec => os:find_executable("erl"),
			args => Flags ++ lists:append([["-pa", Path] || Path <- code:get_path()])}),
		Pong = net_adm:ping(Name), peer:stop(Peer),
		{os:getenv("ERL_ZFLAGS"), Pong, os:cmd("erl -noinput " ++ Boot ++ " -eval 'io:write(node()), halt().'")}
	end.`, e.boot)
}

// checkStop stops a node by the command of its release: its container starts again, and
// it joins again.
func (e example) checkStop(t *testing.T, c harness.Cluster) {
	t.Helper()
	before := harness.Must(c.Restarts(t.Context(), 3))(t)
	out, err := c.Exec(t.Context(), 0, e.stop...) // The container may end before the command does.
	t.Logf("%q: %q (%v)", e.stop, out, err)
	await.Until(t, 3*time.Minute, "the container starts again", func(ctx context.Context) error {
		now, err := c.Restarts(ctx, 3)
		if err == nil && now == before {
			err = fmt.Errorf("it is still %s", now)
		}
		return err
	})
	c.AwaitReady(t, 3)
}
