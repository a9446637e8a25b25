//go:build erlang

package erlang

import (
	"slices"
	"testing"

	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// TestSocketOptions looks at the sockets between two nodes: they read 64 KiB at a time, unless
// the spec says otherwise, or the image does.
func TestSocketOptions(t *testing.T) {
	byImage := func(options string) []string {
		return []string{"ERL_FLAGS=-kernel inet_dist_listen_options " + options + " inet_dist_connect_options " + options}
	}
	bySpec := naming.SocketBufferVariable + "=131072"
	for name, test := range map[string]struct {
		env  []string
		want string
	}{
		"by default":               {nil, "[{65536,false}]"},
		"by the spec":              {[]string{bySpec}, "[{131072,false}]"},
		"by the image, in part":    {byImage("[{keepalive,true}]"), "[{65536,true}]"},
		"by both":                  {append(byImage("[{keepalive,true},{buffer,32768}]"), bySpec), "[{131072,true}]"},
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
