//go:build erlang

package erlang

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// TestRunbook runs the commands that the documents have people run inside of pods, as they stand there, in nodes with the environment and the files of pods.
func TestRunbook(t *testing.T) {
	repository, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	here := t.TempDir()
	build := exec.Command("go", "build", "-C", repository, "-trimpath", "-o", filepath.Join(here, "bin", "erlang-operator"), "./cmd/erlang-operator")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	commands := slices.Concat(kubectlExecs(t, filepath.Join(repository, "docs", "troubleshooting.md")), kubectlExecs(t, filepath.Join(repository, "docs", "visitors.md")))

	onEachRelease(t, func(t *testing.T, otp string) {
		c := newCluster(t)
		path := t.TempDir()
		for _, pod := range []string{"chat-0", "chat-1"} {
			writeKubectl(t, path, pod, c.pod(t, pod, otp))
		}
		seen := map[string]bool{}
		for _, command := range commands {
			cmd := exec.CommandContext(deadline(t), "bash", "-c", command)
			cmd.Dir = here
			cmd.Env = append(os.Environ(), "PATH="+path+":"+os.Getenv("PATH"))
			out, err := cmd.CombinedOutput()
			verifies := strings.Contains(command, "erlang-operator verify") // two nodes that are not linked
			if err != nil && !verifies {
				t.Errorf("%s: %v", command, err)
			}
			if strings.Contains(string(out), cookie) {
				t.Errorf("%s shows the cookie", command)
			}
			for _, want := range []string{
				"-proto_dist\ninet_tls\n-ssl_dist_optfile\n" + naming.OptionsFile, "inet_dist_listen_max\n9109",
				"name chat at port 91", "open\n", "readable\n", otp + "\n", "BEGIN CERTIFICATE", "chat@" + podHost("chat-1") + ": Verified",
				"pong\n", "{nodes,0}\n",
			} {
				seen[want] = seen[want] || strings.Contains(string(out), want)
			}
			t.Logf("%s\n%s", command, out)
		}
		for text, found := range seen {
			if !found {
				t.Errorf("no command prints %q", text)
			}
		}
	})
}

func podHost(pod string) string { return pod + ".chat-nodes.default.svc.cluster.local" }

// pod starts a node as it runs in a pod of the ErlangCluster chat in the namespace
// default.
func (c *cluster) pod(t *testing.T, pod, otp string) *beam.Node {
	host := c.Host(pod)
	c.SetName(podHost(pod), host.Address)
	host.EPMD(otp)
	node, identity := "chat@"+podHost(pod), c.ca.Issue(podHost(pod))
	return host.Start(beam.Options{
		OTP: otp, Bare: true, Cookie: cookie,
		Env: podEnvironment(node, "EPMD"), Files: podFiles(t, identity, c.ca.PEM),
	})
}

// kubectlExecs are the commands of a document that begin with kubectl exec, but for those
// that need a terminal.
func kubectlExecs(t *testing.T, document string) []string {
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for _, found := range regexp.MustCompile("(?m)^(kubectl exec (?:.*\n(?:  .*\n)*))|`(kubectl exec [^`]*)`").FindAllStringSubmatch(string(text), -1) {
		if command := found[1] + found[2]; !strings.Contains(command, "-it") {
			commands = append(commands, command)
		}
	}
	return commands
}

// writeKubectl writes a kubectl that can do nothing but exec.
func writeKubectl(t *testing.T, dir, pod string, node *beam.Node) {
	kubectl := `#!/bin/sh
set -e
shift
[ "$1" != -i ] || shift
pod=$1
while [ "$1" != -- ]; do shift; done
shift
exec "$(dirname "$0")/$pod" "$@"
`
	var in strings.Builder
	in.WriteString("#!/bin/sh\nexec")
	for _, word := range node.Exec() {
		fmt.Fprintf(&in, " '%s'", word)
	}
	in.WriteString(` "$@"` + "\n")
	for name, script := range map[string]string{"kubectl": kubectl, pod: in.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}
