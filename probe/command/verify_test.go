package command

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/probe/probetest"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

// silentPort accepts connections, and says nothing.
func silentPort(t *testing.T) string {
	peer := probetest.NewNetwork(t, 1).Peers[0]
	peer.Serve = func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
	return strconv.Itoa(int(peer.Listen()))
}

// run runs the command in plaintext.
func run(ctx context.Context, t *testing.T, arguments ...string) (out string, status int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cookie")
	if err := os.WriteFile(file, []byte("N0tTheRealCookie"), 0o600); err != nil {
		t.Fatal(err)
	}
	command := Verify(verify.Verifier{Limits: verify.DefaultLimits()})
	var text bytes.Buffer
	command.SetOut(&text)
	command.SetErr(io.Discard)
	command.SilenceUsage = true
	command.SetArgs(append(arguments, "--plaintext", "--cookie-file="+file))
	err := command.ExecuteContext(ctx)
	return text.String(), ExitStatus(err)
}

// TestCommandLine: what is wrong with the command line is no verdict.
func TestCommandLine(t *testing.T) {
	for name, arguments := range map[string][]string{
		"a name without a host":  {"chat"},
		"a name without a name":  {"@localhost"},
		"two families":           {"chat@localhost", "--ipv4", "--ipv6"},
		"an unknown TLS version": {"chat@localhost", "--tls-min=1.1"},
		"no node":                {},
	} {
		t.Run(name, func(t *testing.T) {
			if out, status := run(t.Context(), t, arguments...); status != 2 || out != "" {
				t.Errorf("exit status %d, want 2: %s", status, out)
			}
		})
	}
}

// TestInterrupted: an interrupted command gives no verdict.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	if out, status := run(ctx, t, "chat@localhost", "--ipv4", "--port="+silentPort(t)); status != 2 || out != "" {
		t.Errorf("exit status %d, want 2: %s", status, out)
	}
}

// TestTimeout: a node that does not answer in time gets its verdict then.
func TestTimeout(t *testing.T) {
	begun := time.Now()
	out, status := run(t.Context(), t, "chat@localhost", "--ipv4", "--timeout=200ms", "--port="+silentPort(t))
	if took := time.Since(begun); took > 6*time.Second {
		t.Errorf("it took %s", took)
	}
	if status != 1 || !strings.Contains(out, "HandshakeTimedOut") {
		t.Errorf("exit status %d, want 1: %s", status, out)
	}
}

// TestSameNodeTwice: a node that is named twice is one node.
func TestSameNodeTwice(t *testing.T) {
	targets, err := options{ipv6: true}.targets([]string{"a@b", "c@d", "a@b"})
	if err != nil || len(targets) != 2 || targets[0].Node != "a@b" || targets[1].Node != "c@d" || targets[0].Network != "tcp6" {
		t.Errorf("targets %+v, %v", targets, err)
	}
}
