// The components of this repository, and which of them each may import. CONTRIBUTING.md
// explains why.
package layout

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/erlang-operator/erlang-operator/"

// A component is a package and those below it, except other components.
type component struct {
	path string
	// uses are the components that it may depend on, directly or indirectly.
	uses []string
	// pure components have no client, context, clock, randomness, file or network.
	pure bool
	// foreign, if not nil, lists what it may import from other modules.
	foreign []string
}

var components = []component{
	{path: "api", foreign: []string{"k8s.io/api/", "k8s.io/apimachinery/"}},
	{path: "certs", uses: []string{"api"}, pure: true},
	{path: "certs/certstest"},
	{path: "erldist", foreign: []string{}},
	{path: "probe", uses: []string{"api", "certs", "erldist", "probe/mesh", "probe/verify", "probe/sweep"}},
	{path: "probe/mesh", pure: true, foreign: []string{}},
	{path: "probe/verify", uses: []string{"api", "certs", "erldist"}, foreign: []string{}},
	{path: "probe/sweep", uses: []string{"api", "certs", "erldist", "probe/mesh", "probe/verify"}, foreign: []string{}},
	{path: "probe/probetest", uses: []string{"api", "certs", "certs/certstest", "erldist", "probe/verify"}, foreign: []string{}},
	{path: "probe/command", uses: []string{"api", "certs", "erldist", "probe/mesh", "probe/verify"}, foreign: []string{"github.com/spf13/cobra"}},
	{path: "controllers", uses: []string{"api", "certs",
		"controllers/internal/state", "controllers/internal/rotation", "controllers/internal/rollout", "controllers/internal/observe", "controllers/internal/beam", "controllers/internal/plan", "controllers/internal/apply", "controllers/internal/status", "controllers/internal/identity", "controllers/internal/podcert", "controllers/internal/metrics"}},
	{path: "controllers/internal/state", uses: []string{"api", "certs"}, pure: true},
	{path: "controllers/internal/state/statetest", uses: []string{"api", "certs", "certs/certstest", "controllers/internal/state", "controllers/internal/rotation"}},
	{path: "controllers/internal/rotation", uses: []string{"api", "certs", "controllers/internal/state"}, pure: true},
	{path: "controllers/internal/beam", uses: []string{"api", "certs"}, pure: true},
	{path: "controllers/internal/rollout", uses: []string{"api", "certs", "controllers/internal/state", "controllers/internal/rotation", "controllers/internal/beam"}, pure: true},
	{path: "controllers/internal/plan", uses: []string{"api", "certs", "controllers/internal/state", "controllers/internal/rotation", "controllers/internal/rollout", "controllers/internal/beam"}, pure: true},
	{path: "controllers/internal/status", uses: []string{"api", "certs", "controllers/internal/state", "controllers/internal/rotation", "controllers/internal/rollout", "controllers/internal/beam", "controllers/internal/plan"}, pure: true},
	{path: "controllers/internal/identity", uses: []string{"api", "certs", "controllers/internal/state", "controllers/internal/rotation", "controllers/internal/rollout", "controllers/internal/beam", "controllers/internal/plan"}, pure: true},
	{path: "controllers/internal/podcert", uses: []string{"api", "certs"}, pure: true},
	{path: "controllers/internal/observe", uses: []string{"api", "certs", "controllers/internal/state", "controllers/internal/rotation", "controllers/internal/rollout", "controllers/internal/beam", "controllers/internal/plan"}},
	{path: "controllers/internal/apply", uses: []string{"api", "certs", "controllers/internal/state", "controllers/internal/rotation", "controllers/internal/rollout", "controllers/internal/beam", "controllers/internal/plan"}},
	{path: "controllers/internal/metrics", uses: []string{"api", "certs"}},
	{path: "cmd/erlang-operator", uses: []string{"api", "certs", "erldist", "probe", "probe/mesh", "probe/verify", "probe/sweep", "probe/command", "controllers",
		"controllers/internal/state", "controllers/internal/rotation", "controllers/internal/rollout", "controllers/internal/observe", "controllers/internal/beam", "controllers/internal/plan", "controllers/internal/apply", "controllers/internal/status", "controllers/internal/identity", "controllers/internal/podcert", "controllers/internal/metrics"}},
}

// reaching are packages with side effects or hidden inputs.
var reaching = []string{
	"context", "os", "os/", "net", "net/", "io/fs", "log", "log/", "crypto/rand", "math/rand", "math/rand/", "syscall",
	"k8s.io/client-go/kubernetes", "k8s.io/client-go/rest", "k8s.io/client-go/dynamic", "k8s.io/client-go/tools/",
	"k8s.io/utils/clock", "sigs.k8s.io/controller-runtime/", "github.com/cert-manager/cert-manager/pkg/client/clientset/",
}

// pkg is what `go list` says of a package.
type pkg struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
	Deps       []string
	Standard   bool
}

func TestComponentsImportWhatTheyMay(t *testing.T) {
	packages := list(t)
	standard := map[string]bool{}
	for _, p := range packages {
		standard[p.ImportPath] = p.Standard
	}
	visited := map[string]bool{}
	for _, p := range packages {
		path, ours := strings.CutPrefix(p.ImportPath, module)
		if !ours {
			continue
		}
		r, ok := componentOf(path)
		if !ok {
			t.Errorf("%s is in no component: add it to this table, with what it may import", path)
			continue
		}
		visited[r.path] = true
		for _, dependency := range p.Deps {
			other, ours := strings.CutPrefix(dependency, module)
			if !ours {
				continue
			}
			if of, _ := componentOf(other); of.path != r.path && !slices.Contains(r.uses, of.path) {
				t.Errorf("%s depends on %s, which %s may not use", path, other, r.path)
			}
		}
		for _, imported := range p.Imports {
			if strings.HasPrefix(imported, module) {
				continue
			}
			if r.pure && begins(imported, reaching) {
				t.Errorf("%s imports %s, and must be pure", path, imported)
			}
			if r.foreign != nil && !standard[imported] && !begins(imported, r.foreign) {
				t.Errorf("%s imports %s, and may import only %v", path, imported, r.foreign)
			}
		}
		if r.pure {
			checkNoClock(t, p)
		}
	}
	for _, path := range []string{"api", "certs", "erldist", "probe/verify", "controllers/internal/plan", "controllers/internal/status"} {
		if !visited[path] {
			t.Errorf("`go list` shows no package in %s, so this test has checked nothing", path)
		}
	}
}

// checkNoClock reports uses of the clock, which the imports do not show.
func checkNoClock(t *testing.T, p pkg) {
	for _, name := range p.GoFiles {
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			selector, ok := node.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if of, ok := selector.X.(*ast.Ident); ok && of.Name == "time" &&
				slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "NewTimer", "NewTicker", "Tick"}, selector.Sel.Name) {
				t.Errorf("%s: time.%s: the time must be an argument", files.Position(selector.Pos()), selector.Sel.Name)
			}
			return true
		})
	}
}

// Where CONTRIBUTING.md sends a reader, there is a file.
func TestFilesThatAreNamedExist(t *testing.T) {
	text, err := os.ReadFile("CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Where to change what\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rows := regexp.MustCompile("(?m)^\\|.*\\| `([^`]+)` \\|$").FindAllStringSubmatch(section, -1)
	for _, row := range rows {
		if _, err := os.Stat(row[1]); err != nil {
			t.Error(err)
		}
	}
	if len(rows) < 12 {
		t.Errorf("%d changes have their file, want at least 12", len(rows))
	}
}

// componentOf returns the innermost component of a package.
func componentOf(path string) (component, bool) {
	var found component
	for _, r := range components {
		if (path == r.path || strings.HasPrefix(path, r.path+"/")) && len(r.path) > len(found.path) {
			found = r
		}
	}
	return found, found.path != ""
}

// begins reports whether a path is, or lies below, one of the prefixes.
func begins(path string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool {
		return path == prefix || strings.HasSuffix(prefix, "/") && strings.HasPrefix(path, prefix)
	})
}

func list(t *testing.T) []pkg {
	t.Helper()
	command := exec.Command("go", "list", "-deps", "-json=ImportPath,Dir,GoFiles,Imports,Deps,Standard", "./...")
	output, err := command.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("list the packages: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("list the packages: %v", err)
	}
	var packages []pkg
	for decoder := json.NewDecoder(strings.NewReader(string(output))); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("read what `go list` says: %v", err)
		}
		packages = append(packages, p)
	}
}
