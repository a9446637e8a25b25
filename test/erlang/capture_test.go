//go:build erlang

package erlang

import (
	"bytes"
	"context"
	"flag"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

var captureDir = flag.String("capture", "", "write what real nodes send to this `directory` (../../erldist/testdata/captures)")

// TestCapture records what EPMD and nodes send, for the tests of the parsers.
func TestCapture(t *testing.T) {
	if *captureDir == "" {
		t.Skip("it is run to renew the captures, with -capture")
	}
	onEachRelease(t, func(t *testing.T, otp string) {
		c := newCluster(t)
		host := c.Host("chat-0")
		host.EPMD(otp)
		node := host.Start(beam.Options{OTP: otp, Cookie: cookie})
		var received recorder
		dialer := node.Dialer()
		dialer.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := c.DialContext(ctx, network, address)
			return &recordedConn{conn, &received}, err
		}
		save := func(name string) {
			path := filepath.Join(*captureDir, "otp"+otp, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, received.take(), 0o644); err != nil {
				t.Fatal(err)
			}
		}

		if _, err := dialer.Lookup(deadline(t), node.Name); err != nil {
			t.Fatal(err)
		}
		save("port2_resp")
		if _, err := dialer.Lookup(deadline(t), "pay@"+host.Name); err == nil {
			t.Fatal("a name that is not registered was found")
		}
		save("port2_resp_unknown")
		if _, err := dialer.Names(deadline(t), host.Name); err != nil {
			t.Fatal(err)
		}
		save("names_resp")
		dialer.Port = 9100 // the first of its range
		conn := mustDial(t, dialer, node.Name)
		if err := conn.Ping(deadline(t)); err != nil {
			t.Fatal(err)
		}
		for _, question := range []erldist.MFA{
			{Module: "erlang", Function: "nodes"},
			{Module: "erlang", Function: "system_info", Args: []erldist.Term{erldist.Atom("otp_release")}},
			{Module: "erlang", Function: "memory"},
			{Module: "net_kernel", Function: "get_state"},
			{Module: "sys", Function: "get_state", Args: []erldist.Term{erldist.Atom("net_kernel")}},
			{Module: "erlang", Function: "no_such_function"},
			{Module: "erlang", Function: "bsl", Args: []erldist.Term{erldist.Int(-3), erldist.Int(2100)}},
			{Module: "math", Function: "pi"},
			{Module: "erlang", Function: "ports"},
		} {
			_, _ = conn.Call(deadline(t), question.Module, question.Function, question.Args...)
		}
		_, _ = conn.ERPC(deadline(t), "erlang", "node")
		_, _ = conn.ERPC(deadline(t), "erlang", "no_such_function")
		save("session")
	})
}

type recorder struct {
	mu    sync.Mutex
	bytes bytes.Buffer
}

func (r *recorder) take() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.bytes.Reset()
	return bytes.Clone(r.bytes.Bytes())
}

type recordedConn struct {
	net.Conn
	to *recorder
}

func (c *recordedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.to.mu.Lock()
	defer c.to.mu.Unlock()
	c.to.bytes.Write(p[:n])
	return n, err
}
