package layout

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

type goMod struct {
	Toolchain string
	Require   []struct{ Path, Version string }
}

func readGoMod(t *testing.T, dir string) (m goMod) {
	t.Helper()
	command := exec.Command("go", "mod", "edit", "-json")
	command.Dir = dir
	out, err := command.Output()
	if err != nil {
		t.Fatalf("read %s/go.mod: %v", dir, err)
	}
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatalf("read %s/go.mod: %v", dir, err)
	}
	return m
}

// Modules of one release of Kubernetes are tested with each other, and those of several
// are not.
func TestModulesOfKubernetesAreOfOneRelease(t *testing.T) {
	want := ""
	for _, dir := range []string{".", "test"} {
		found := 0
		for _, required := range readGoMod(t, dir).Require {
			if !strings.HasPrefix(required.Path, "k8s.io/") || !regexp.MustCompile(`^v0\.[1-9]\d*\.\d+$`).MatchString(required.Version) {
				continue // of a module with releases of its own
			}
			found++
			if want == "" {
				want = required.Version
			}
			if required.Version != want {
				t.Errorf("%s/go.mod requires %s %s, and others %s: go get it @%s", dir, required.Path, required.Version, want, want)
			}
		}
		if found < 5 {
			t.Errorf("%s/go.mod requires %d modules of Kubernetes, want at least 5", dir, found)
		}
	}
}

// One Go builds and tests everything, whatever machine it is on: a binary depends on it.
func TestGoToolchainIsPinned(t *testing.T) {
	toolchain := readGoMod(t, ".").Toolchain
	if toolchain == "" {
		t.Fatal("go.mod has no line toolchain")
	}
	for _, dir := range []string{"hack", "hack/certmanager", "hack/coredns", "hack/helm", "hack/lint", "hack/prometheus", "hack/tools", "test"} {
		if got := readGoMod(t, dir).Toolchain; got != toolchain {
			t.Errorf("%s/go.mod has the toolchain %q, not %q", dir, got, toolchain)
		}
	}
	dockerfile := readFile(t, "Dockerfile")
	if image := "docker.io/library/golang:" + strings.TrimPrefix(toolchain, "go") + " "; !strings.Contains(dockerfile, image) {
		t.Errorf("Dockerfile does not build with %s", image)
	}
	if line := "go-version-file: go.mod"; !strings.Contains(readFile(t, ".github/workflows/release.yaml"), line) {
		t.Errorf(".github/workflows/release.yaml does not have %s", line)
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
