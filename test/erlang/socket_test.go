//go:build erlang

package erlang

import (
	"slices"
	"testing"

	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// TestSocketOptions looks at the sockets between two nodes: they read 128 KiB at a time, unless
// the spec says otherwise, or the image does.
func TestSocketOptions(t *testing.T) {
	byImage := func(options string) []string {
		return []string{"ERL_FLAGS=-kernel inet_dist_listen_options " + options + " inet_dist_connect_options " + options}
	}
	bySpec := naming.SocketBufferVariable + "=262144"
	for name, test := range map[string]struct {
		env  []string
		want string
	}{
		"by default":               {nil, "[{131072,false}]"},
		"by the spec":              {[]string{bySpec}, "[{262144,false}]"},
		"by the image, in part":    {byImage("[{keepalive,true}]"), "[{131072,true}]"},
		"by both":                  {append(byImage("[{keepalive,true},{buffer,32768}]"), bySpec), "[{262144,true}]"},
		"by the image, as recbuf":  {byImage("[{recbuf,90000}]"), "[{90000,false}]"},
		"by the file of the image": {[]string{"ERL_FLAGS=-config /mnt/image"}, "[{32768,false}]"},
	} {
		t.Run(name, func(t *testing.T) {
			onEachRelease(t, func(t *testing.T, otp string) {
				t.Parallel()
				for _, node := range startLinked(t, otp, test.env) {
					if got := inPod(t, node, visitor, "erl", "-noinput", "-eval", sockets); got != test.want {
						t.Errorf("on %s the sockets have %s, want %s", node.Name, got, test.want)
					}
				}
			})
		})
	}
}

// TestIdleLinksHibernate waits until both processes of a link hibernate, and with that give back
// what they hold of messages.
func TestIdleLinksHibernate(t *testing.T) {
	onEachRelease(t, func(t *testing.T, otp string) {
		t.Parallel()
		for _, node := range startLinked(t, otp, nil) {
			if got := inPod(t, node, visitor, "erl", "-noinput", "-eval", awaitHibernation); got != "[ssl_gen_statem,tls_sender]" {
				t.Errorf("on %s hibernate %s, want ssl_gen_statem and tls_sender", node.Name, got)
			}
		}
	})
}

// awaitHibernation looks for some time which processes of TLS hibernate, and prints their modules.
// Those of the visitor's own connection do not.
const awaitHibernation = `Node = list_to_atom(os:getenv("ERLANG_NODE")),
	Call = fun(Module, Function, Args) -> erpc:call(Node, Module, Function, Args) end,
	IsHibernating = fun(Pid) ->
		case Call(erlang, process_info, [Pid, current_function]) of
			{current_function, {_, Function, _}} -> lists:member(Function, [hibernate, loop_hibernate]);
			undefined -> false
		end
	end,
	Await = fun Await(Times) ->
		TLS = [{Module, Pid} || Pid <- Call(erlang, processes, []), {Module, init, _} <- [Call(proc_lib, translate_initial_call, [Pid])],
			lists:member(Module, [tls_sender, ssl_gen_statem])],
		case lists:usort([Module || {Module, Pid} <- TLS, IsHibernating(Pid)]) of
			Modules when Times =:= 0; length(Modules) =:= 2 -> io:format("~w", [Modules]);
			_ -> timer:sleep(200), Await(Times - 1)
		end
	end,
	Await(200), halt().`

// sockets prints the buffers of a node's connections, and whether they are kept alive. That of
// the visitor is one of them.
const sockets = `Node = list_to_atom(os:getenv("ERLANG_NODE")),
	Ports = [Port || Port <- erpc:call(Node, erlang, ports, []),
		erpc:call(Node, erlang, port_info, [Port, name]) =:= {name, "tcp_inet"}, element(1, erpc:call(Node, inet, peername, [Port])) =:= ok],
	true = length(Ports) >= 2,
	Options = [list_to_tuple([Value || {_, Value} <- element(2, erpc:call(Node, inet, getopts, [Port, [buffer, keepalive]]))]) || Port <- Ports],
	io:format("~w", [lists:usort(Options)]), halt().`

// startLinked starts two nodes as the manager has them started in pods, and links them.
func startLinked(t *testing.T, otp string, env []string) []*beam.Node {
	t.Helper()
	c := newCluster(t)
	var nodes []*beam.Node
	for _, label := range []string{"chat-0", "chat-1"} {
		host := c.Host(label)
		files := podFiles(t, c.ca.Issue(host.Name), c.ca.PEM)
		files["image.config"] = []byte("[{kernel,[{inet_dist_listen_options,[{buffer,32768}]},{inet_dist_connect_options,[{buffer,32768}]}]}].")
		nodes = append(nodes, host.Launch(beam.Options{
			OTP: otp, Bare: true, Cookie: cookie, FixedPort: 9100, Files: files,
			Env: slices.Concat(podEnvironment("chat@"+host.Name, "FixedPort"), env),
		}))
	}
	for _, node := range nodes {
		node.AwaitUp()
	}
	conn := mustDial(t, c.dialer(nodes[0]), nodes[0].Name)
	if got := mustCall(t, conn, "net_kernel", "connect_node", erldist.Atom(nodes[1].Name)); got != erldist.Term(erldist.Atom("true")) {
		t.Fatalf("connect_node gives %v\n%s", got, nodes[0].Log())
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	return nodes
}
