//go:build erlang

package erlang

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

const visitor, shell = naming.ProgramsDir + "/visitor", naming.ProgramsDir + "/shell"

// onEachDiscovery runs a test with each way to find a node, on each OTP release.
func onEachDiscovery(t *testing.T, test func(t *testing.T, otp, discovery string)) {
	for _, discovery := range []string{"EPMD", "FixedPort"} {
		t.Run(discovery, func(t *testing.T) {
			onEachRelease(t, func(t *testing.T, otp string) {
				t.Parallel()
				test(t, otp, discovery)
			})
		})
	}
}

// container is what the manager makes of one with the BEAM, whose template has a command
// and the runtime Erl.
func container(t *testing.T, otp, discovery string) (*cluster, *beam.Host, beam.Options) {
	c := newCluster(t)
	host := c.Host("chat-0")
	options := beam.Options{
		OTP: otp, Bare: true, Cookie: cookie, Under: []string{naming.ProgramsDir + "/node"},
		Env: podEnvironment("chat@"+host.Name, discovery), Files: podFiles(t, c.ca.Issue(host.Name), c.ca.PEM),
		Args: []string{"-eval", "Lines = 2,\nok."}, // as in a template in YAML
	}
	for i, variable := range options.Env {
		options.Env[i] = strings.Replace(variable, "ERL_ZFLAGS=-name chat@"+host.Name+" ", "ERL_ZFLAGS=", 1)
	}
	if discovery == "FixedPort" {
		options.FixedPort = 9100
	} else {
		host.EPMD(otp)
	}
	return c, host, options
}

// Every BEAM of the container but one is a visitor of the node, before and after its
// cookie was changed.
func TestVisitors(t *testing.T) {
	onEachDiscovery(t, func(t *testing.T, otp, discovery string) {
		c, host, options := container(t, otp, discovery)
		node := host.Start(options)
		testVisitors(t, node)

		const next = "AnotherCookie"
		conn := mustDial(t, c.dialer(node), node.Name)
		node.WriteFile("cookie/"+naming.CookieKey, []byte(next))
		mustCall(t, conn, "erlang", "set_cookie", erldist.Atom(next))
		testVisitors(t, node)
	})
}

func TestVisitorsOverIPv6(t *testing.T) {
	onEachRelease(t, func(t *testing.T, otp string) {
		t.Parallel()
		_, host, options := container(t, otp, "FixedPort")
		options.IPv6 = true
		for i, variable := range options.Env {
			options.Env[i] = strings.ReplaceAll(variable, "inet_tls ", "inet6_tls ")
		}
		testVisitors(t, host.Start(options))
	})
}

func testVisitors(t *testing.T, node *beam.Node) {
	t.Helper()
	const report = `Node = list_to_atom(os:getenv("ERLANG_NODE")),
		io:format("~p ~p ~p~n", [net_adm:ping(Node), node(), erpc:call(Node, erlang, nodes, [])]), halt().`
	const compare = `Node = list_to_atom(os:getenv("ERLANG_NODE")),
		io:format("~p", [erlang:get_cookie() =:= erpc:call(Node, erlang, get_cookie, [])]), halt().`
	_, host, _ := strings.Cut(node.Name, "@")
	for name, test := range map[string]struct {
		input   string
		command []string
		prints  []string
	}{
		"erl": {command: []string{visitor, "erl", "-noshell", "-eval", report},
			prints: []string{"pong 'visitor-", "@" + host + "' []"}}, // It is hidden.
		"erl with a name": {command: []string{visitor, "erl", "-name", "me@localhost", "-noshell", "-eval", report},
			prints: []string{"pong me@localhost []"}},
		"erl, its cookie for other nodes": {command: []string{visitor, "erl", "-noshell", "-eval", compare},
			prints: []string{"true"}},
		"erl with a stale cookie": {command: []string{visitor, "erl", "-setcookie", "stale", "-noshell", "-eval", report},
			prints: []string{"pong 'visitor-"}},
		"a child of the visitor": {command: []string{visitor, "erl", "-noshell", "-eval", `io:format("~s", [os:cmd("erl -noshell -eval 'erlang:display({node(), os:getenv([$E | \"RL_ZFLAGS\"])}), halt().'")]), halt().`},
			prints: []string{"{'nonode@nohost',false}"}},
		"a child of the node": {input: `os:cmd("erl -noshell -eval 'erlang:display({node(), os:getenv([$E | \"RL_ZFLAGS\"])}), halt().'").`, command: []string{shell},
			prints: []string{"{'nonode@nohost',false}"}},
		"a peer of the node": {input: startPeer, command: []string{shell},
			prints: []string{"'peer@" + host + "'"}},
		"expressions": {input: "A = 40,\nnode().\nA + 2.\n", command: []string{shell},
			prints: []string{"'" + node.Name + "'\n42\n"}},
		"a script": {command: []string{visitor, "sh", "-c", visitor + ` erl -noshell -eval "$1"`, "sh", report},
			prints: []string{"pong 'visitor-"}},
		"a program that is no BEAM": {command: []string{visitor, "/bin/echo", "a b"}, prints: []string{"a b\n"}},
	} {
		out, err := run(t, node, test.input, test.command...)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		for _, want := range test.prints {
			if !strings.Contains(out, want) {
				t.Errorf("%s prints\n%s\nwant %q", name, out, want)
			}
		}
	}
}

// startPeer starts a BEAM with distribution from the node, as the documents say.
const startPeer = `
{ok, Pid, Peer} = peer:start(#{name => peer, host => tl(string:find(atom_to_list(node()), "@")), longnames => true, wait_boot => 60000,
	args => string:lexemes(os:getenv("ERLANG_OPERATOR_SHARED_FLAGS"), " ") ++ ["-dist_listen", "false"]}).
erpc:call(Peer, erlang, node, []).
peer:stop(Pid).
`

// A shell that loses its input does not stop the node: neither at the end of what is
// typed nor when the terminal goes away.
func TestShellOnATerminal(t *testing.T) {
	onEachRelease(t, func(t *testing.T, otp string) {
		t.Parallel()
		_, host, options := container(t, otp, "EPMD")
		node := host.Start(options)
		for _, end := range []string{"\x04", ""} {
			terminal := openTerminal(t, append(node.Exec(), shell)...)
			terminal.await(t, "(chat@"+host.Name+")1> ")
			terminal.write(t, "{answer, 40 + 2}.\r")
			terminal.await(t, "{answer,42}")
			terminal.write(t, end)
			terminal.close(t)
			if out, err := run(t, node, "alive.", shell); err != nil || out != "alive\n" {
				t.Fatalf("after a shell that ended with %q, another gives %v:\n%s\nThe node:\n%s", end, err, out, node.Log())
			}
		}
	})
}

// What runs beside a node that is not up yet says so, and takes neither its name nor its
// port.
func TestVisitorBeforeTheNode(t *testing.T) {
	onEachDiscovery(t, func(t *testing.T, otp, discovery string) {
		_, host, options := container(t, otp, discovery)
		options.Under = append([]string{"sh", "-c", `echo waiting; until [ -e /mnt/begin ]; do sleep 0.1; done; exec "$@"`, "sh"}, options.Under...)
		node := host.Launch(options)
		if err := node.WaitLog("waiting", time.Minute); err != nil {
			t.Fatal(err)
		}
		out, err := run(t, node, "", visitor, "erl", "-noshell", "-eval", "halt(7).")
		if !exits(err, 7) || !strings.HasPrefix(out, "visitor: "+node.Name+" is not up, or has other ports: nothing listens on 9100 to 91") || !strings.HasSuffix(out, ". See its log: kubectl logs chat-0\n") {
			t.Errorf("a visitor ends with %v, and prints\n%s", err, out)
		}
		out, err = run(t, node, "node().", shell)
		if !exits(err, 1) || !strings.Contains(out, "is not up") {
			t.Errorf("the shell ends with %v, and prints\n%s", err, out)
		}

		terminal := openTerminal(t, slices.Concat(node.Exec(), []string{visitor, "erl"})...)
		terminal.await(t, "(shell-")
		node.WriteFile("begin", []byte{})
		node.AwaitUp()
		terminal.write(t, "net_adm:ping('"+node.Name+"').\r")
		terminal.await(t, "\npong")
		terminal.close(t)
	})
}

// The programs need no other program of the image.
func TestProgramsUseOnlyTheShell(t *testing.T) {
	_, host, options := container(t, "27", "FixedPort")
	node := host.Start(options)
	for _, command := range [][]string{{visitor, "/bin/echo", "done"}, {naming.ProgramsDir + "/node", "/bin/echo", "done"}} {
		out, err := run(t, node, "", slices.Concat([]string{"/usr/bin/env", "PATH=/none"}, command)...)
		if err != nil || out != "done\n" {
			t.Errorf("%v ends with %v, and prints\n%s", command, err, out)
		}
	}
	// The erl of the node itself is a script that complains, but goes on.
	if out, err := run(t, node, "node().", "/usr/bin/env", "PATH=/none", shell); err != nil || !strings.HasSuffix(out, "\n'"+node.Name+"'\n") {
		t.Errorf("a shell without erl in PATH ends with %v, and prints\n%s", err, out)
	}
	if out, err := run(t, node, "", shell); !exits(err, 64) || !strings.Contains(out, "kubectl exec -it") {
		t.Errorf("a shell without input ends with %v, and prints\n%s", err, out)
	}
	if out, err := run(t, node, "node(.\n", shell); !exits(err, 1) || !strings.Contains(out, "syntax error before: '.'") {
		t.Errorf("a shell with a mistake in its input ends with %v, and prints\n%s", err, out)
	}
	if out, err := run(t, node, "", "/usr/bin/env", "-u", "ERLANG_NODE", visitor, "/bin/echo"); !exits(err, 64) || !strings.Contains(out, "kubectl exec -c") {
		t.Errorf("a visitor without a node ends with %v, and prints\n%s", err, out)
	}
	if out, err := run(t, node, "", visitor); !exits(err, 64) || !strings.Contains(out, "no command") {
		t.Errorf("a visitor without a command ends with %v, and prints\n%s", err, out)
	}
}

// run runs a command in the container of a node.
func run(t *testing.T, node *beam.Node, input string, command ...string) (string, error) {
	t.Helper()
	command = slices.Concat(node.Exec(), command)
	cmd := exec.CommandContext(deadline(t), command[0], command[1:]...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// exits reports whether a command ended with that status.
func exits(err error, status int) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.ExitCode() == status
}

// terminal is where a person works with a command, as with kubectl exec -it.
type terminal struct {
	cmd     *exec.Cmd
	control *os.File
	printed *bytes.Buffer
}

// openTerminal starts a command on a terminal of its own.
func openTerminal(t *testing.T, command ...string) *terminal {
	t.Helper()
	// Commands would inherit that nohup has this process ignore it, and a terminal that is
	// closed would not end them.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP)
	control, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := control.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var number int
	var unlocked, numbered error
	err = raw.Control(func(fd uintptr) {
		unlocked = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0)
		number, numbered = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
	})
	if err := errors.Join(err, unlocked, numbered); err != nil {
		t.Fatal(err)
	}
	other, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = other, other, other
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &terminal{cmd: cmd, control: control, printed: new(bytes.Buffer)}
}

func (c *terminal) write(t *testing.T, text string) {
	t.Helper()
	if _, err := c.control.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// await waits until the command has printed a text since the last one that was awaited.
func (c *terminal) await(t *testing.T, text string) {
	t.Helper()
	if err := c.control.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	printed := make([]byte, 4096)
	for {
		if _, after, found := strings.Cut(c.printed.String(), text); found {
			c.printed.Reset()
			c.printed.WriteString(after)
			return
		}
		n, err := c.control.Read(printed)
		if err != nil {
			t.Fatalf("%q is not on the terminal: %v\n%s", text, err, c.printed)
		}
		c.printed.Write(printed[:n])
	}
}

// close takes the terminal away, and waits until the command has ended by that.
func (c *terminal) close(t *testing.T) {
	t.Helper()
	if err := c.control.Close(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = c.cmd.Wait() }()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("the command goes on without its terminal")
	}
}
