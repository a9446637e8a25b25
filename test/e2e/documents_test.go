//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// A block is a fenced block of a document, with the comment above it, if there is one.
var block = regexp.MustCompile("(?m)(?:^<!-- (.*) -->\n+)?^```(sh|yaml)\n((?s:.*?))^```$")

// mostNotRun is how many blocks of shell of a document may have a comment that they are not run.
const mostNotRun = 1

// Every command of the README and the quickstart runs as it is written, and in that order. It is
// not parallel, because these commands install the operator. kind, docker and a download are
// replaced by testdata/standins.
func TestCommandsOfDocuments(t *testing.T) {
	harness.OneMachine(t)
	for _, document := range []string{"docs/quickstart.md", "README.md"} {
		t.Run(strings.TrimSuffix(filepath.Base(document), ".md"), func(t *testing.T) {
			directory := checkout(t)
			environment := append(standins(t), kubeconfig(t, harness.Namespace(t)))
			run, notRun := 0, 0
			for _, match := range block.FindAllStringSubmatch(string(harness.Must(os.ReadFile("../../"+document))(t)), -1) {
				comment, language, text := match[1], match[2], match[3]
				switch {
				case language == "sh" && strings.HasPrefix(comment, "not run: "):
					notRun++
				case language == "sh":
					run++
					runBlock(t, directory, environment, text)
				case strings.HasSuffix(comment, ".yaml"):
					if err := os.WriteFile(filepath.Join(directory, comment), []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			if run == 0 || notRun > mostNotRun {
				t.Errorf("%d blocks were run, and %d not", run, notRun)
			}
		})
	}
}

// runBlock runs the commands of a block until one fails.
func runBlock(t *testing.T, directory string, environment []string, text string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "bash", "-euxo", "pipefail", "-c", text)
	command.Dir, command.Env, command.WaitDelay = directory, environment, time.Second
	output, err := command.CombinedOutput()
	t.Logf("%s", output)
	if err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
}

// checkout is a directory with all that a checkout has, to which files can be added.
func checkout(t *testing.T) string {
	t.Helper()
	directory, root := t.TempDir(), harness.Must(filepath.Abs("../.."))(t)
	for _, entry := range harness.Must(os.ReadDir(root))(t) {
		if err := os.Symlink(filepath.Join(root, entry.Name()), filepath.Join(directory, entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

// kubeconfig is KUBECONFIG of one that names the namespace, too.
func kubeconfig(t *testing.T, namespace string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, []byte(kubectl.Must(t, "config", "view", "--raw", "--minify", "--flatten")), 0o600); err != nil {
		t.Fatal(err)
	}
	kubectl.Must(t, "config", "set-context", "--current", "--namespace="+namespace, "--kubeconfig="+file)
	return "KUBECONFIG=" + file
}

// standins is an environment that has the stand-ins first on the PATH, and tells them where
// things are.
func standins(t *testing.T) []string {
	t.Helper()
	return append(os.Environ(),
		"PATH="+harness.Must(filepath.Abs("testdata/standins"))(t)+":"+os.Getenv("PATH"),
		"KUBECTL="+harness.Must(exec.LookPath("kubectl"))(t),
		"CHECKOUT="+filepath.Dir(filepath.Dir(os.Getenv("KUBECONFIG"))),
		"IMAGES="+t.TempDir())
}
