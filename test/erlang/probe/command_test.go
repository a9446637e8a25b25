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

	"github.com/erlang-operator/erlang-operator/probe/command"
	"github.com/erlang-operator/erlang-operator/probe/verify"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// TestCommand: the command says the same as the probe, and its exit status what of it
// a script wants to know.
func TestCommand(t *testing.T) {
	c := newCluster(t)
	nodes := []*beam.Node{c.start("25", 0), c.start("29", 1)}
	names := []string{nodes[0].Name, nodes[1].Name}
	files := c.files(cookie + "\n")

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

// TestCommandInPlaintext: a cluster without TLS can be verified too, and no cluster is
// by mistake.
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

// files writes the credentials of the probe, and gives the flags that name them.
func (c *cluster) files(cookie string) []string {
	c.t.Helper()
	identity := c.ca.Issue("probe." + beam.Domain)
	c.verifier.Credentials = c.credentials(identity, c.ca.PEM) // wantNoSecret looks for its key
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

// command runs the command, and wants an exit status.
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
	return out.String()
}
