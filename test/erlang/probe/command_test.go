//go:build erlang

package probe

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/probe/command"
	"github.com/erlang-operator/erlang-operator/probe/verify"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// The command reports the same as the probe, and its exit status is for scripts.
func TestCommand(t *testing.T) {
	c := newCluster(t)
	nodes := []*beam.Node{c.start("25", 0), c.start("29", 1)}
	names := []string{nodes[0].Name, nodes[1].Name}
	files := c.files(cookie + "\n")
	c.sweep(nodes[:1]) // Its first handshake may be slow.

	out := c.command(1, append(files, names...)...)
	for _, line := range []string{
		names[0] + ": Verified\n",
		"  OTP 25, up ",
		"  Handshake            ok ",
		"Not one mesh. The nodes fall into 2 parts:\n",
		"  " + names[1] + " is not linked to " + names[0] + "\n",
	} {
		if !strings.Contains(out, line) {
			t.Errorf("%q is not in\n%s", line, out)
		}
	}

	c.sweep(nodes)
	if out := c.command(0, append(files, names...)...); !strings.Contains(out, "One mesh: each of the 2 nodes") {
		t.Errorf("no mesh in\n%s", out)
	}

	// One file for key and certificate, as in a pod.
	if out := c.command(0, append(c.inOneFile(files), names...)...); !strings.Contains(out, "One mesh") {
		t.Errorf("no mesh in\n%s", out)
	}

	c.call(c.dial(nodes[1], cookie), "erlang", "set_cookie", erldist.Atom("An0therCookie"))
	out = c.command(1, append(files, names...)...)
	for _, line := range []string{
		names[1] + ": CookieMismatch at stage Handshake\n",
		"  Handshake            failed ",
		"  " + names[1] + " runs with another cookie than the cluster's: ",
	} {
		if !strings.Contains(out, line) {
			t.Errorf("%q is not in\n%s", line, out)
		}
	}
	c.call(c.dial(nodes[1], "An0therCookie"), "erlang", "set_cookie", erldist.Atom(cookie))

	var report command.Report
	out = c.command(1, slices.Concat(c.files("An0therCookie"), []string{"-o", "json"}, names)...)
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	if len(report.Nodes) != 2 || report.Whole || report.Nodes[1].Reason != "CookieMismatch" || report.Nodes[1].Incarnation == 0 {
		t.Errorf("report %+v", report)
	}

	for name, arguments := range map[string][]string{
		"no cookie":           names,
		"a file that is none": append([]string{"--cookie-file=/nowhere"}, names...),
		"another output":      slices.Concat(files, []string{"-o", "xml"}, names),
		"no node":             files,
	} {
		if out := c.command(2, arguments...); out != "" {
			t.Errorf("%s gives %q", name, out)
		}
	}
}

// A node that speaks TLS 1.2 alone, as is the default of OTP 25, can be verified on request,
// and the command says how.
func TestCommandWithOlderTLS(t *testing.T) {
	s := newScene(t, "25")
	node := s.node(options("tlsv1.3", "tlsv1.2"))
	arguments := append(s.files(cookie), node.Name)
	if out := s.command(1, arguments...); !strings.Contains(out, "TLSVersionMismatch") || !strings.Contains(out, "--tls-min=1.2") {
		t.Error(out)
	}
	if out := s.command(0, append(arguments, "--tls-min=1.2")...); !strings.Contains(out, "Verified") {
		t.Error(out)
	}
}

// A cluster without TLS can be verified, but only on request.
func TestCommandInPlaintext(t *testing.T) {
	s := newScene(t, "27")
	node := s.node(plaintext)
	cookieFile := s.files(cookie)[0]
	if out := s.command(0, cookieFile, "--plaintext", "--port=9100", node.Name); !strings.Contains(out, "Verified") {
		t.Error(out)
	}
	secured := s.start("27", 1)
	out := s.command(1, cookieFile, "--plaintext", "--port=9100", secured.Name)
	if !strings.Contains(out, "HandshakeRejected at stage Handshake") || !strings.Contains(out, "over TLS") {
		t.Error(out)
	}
}

// files writes the credentials of the probe, and returns the flags that name them.
func (c *cluster) files(cookie string) []string {
	c.t.Helper()
	identity := c.ca.Issue("probe." + beam.Domain)
	dir := c.t.TempDir()
	var flags []string
	for _, file := range []struct{ flag, content string }{
		{"cookie-file", cookie}, {"cacert", string(c.ca.PEM)}, {"cert", string(identity.CertPEM)}, {"key", string(identity.KeyPEM)},
	} {
		path := filepath.Join(dir, file.flag)
		if err := os.WriteFile(path, []byte(file.content), 0o600); err != nil {
			c.t.Fatal(err)
		}
		flags = append(flags, "--"+file.flag+"="+path)
	}
	return flags
}

// inOneFile puts key and certificate in one file, the key first.
func (c *cluster) inOneFile(files []string) []string {
	c.t.Helper()
	_, certificate, _ := strings.Cut(files[2], "=")
	_, key, _ := strings.Cut(files[3], "=")
	var both []byte
	for _, path := range []string{key, certificate} {
		content, err := os.ReadFile(path)
		if err != nil {
			c.t.Fatal(err)
		}
		both = append(both, content...)
	}
	path := filepath.Join(c.t.TempDir(), "combined.pem")
	if err := os.WriteFile(path, both, 0o600); err != nil {
		c.t.Fatal(err)
	}
	return []string{files[0], files[1], "--cert=" + path, "--key=" + path}
}

// command runs the command, and requires an exit status.
func (c *cluster) command(status int, arguments ...string) string {
	c.t.Helper()
	verifyCommand := command.Verify(verify.Verifier{Limits: verify.DefaultLimits(), Resolve: c.Resolve, DialContext: c.DialContext})
	var out bytes.Buffer
	verifyCommand.SetOut(&out)
	verifyCommand.SetErr(&out)
	verifyCommand.SilenceErrors, verifyCommand.SilenceUsage = true, true
	if !slices.Contains(arguments, "--plaintext") {
		arguments = append(arguments, "--port=9100")
	}
	verifyCommand.SetArgs(arguments)
	err := verifyCommand.ExecuteContext(deadline(c.t))
	if got := command.ExitStatus(err); got != status {
		c.t.Errorf("exit status %d, want %d: %v\n%s", got, status, err, out.String())
	}
	if err != nil {
		c.wantNoSecret(err.Error())
	}
	c.wantNoSecret(out.String())
	c.t.Logf("exit status %d\n%s", status, out.String())
	return out.String()
}
