package envtest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// overlay is a block of a document that is a file of kustomize, in the directory that its first line names.
	overlay = regexp.MustCompile("(?s)```yaml\n(?:# (\\S*)kustomization\\.yaml\n)?(apiVersion: kustomize.*?)```")
	// argument is what an overlay gives the manager.
	argument = regexp.MustCompile(`value: "?(--[^\s"}]+)`)
)

// The overlays of the guide can be built, and give the manager the argument that they show.
func TestOverlaysOfTheGuide(t *testing.T) {
	guide := string(must(os.ReadFile(filepath.Join(repository(), "docs/install.md")))(t))
	guide = strings.ReplaceAll(guide, "https://github.com/erlang-operator/erlang-operator//config/default?ref=v0.1.0", "config/default")
	blocks := overlay.FindAllStringSubmatch(guide, -1)
	if len(blocks) != 3 {
		t.Fatalf("docs/install.md has %d blocks for kustomize, want one overlay and another of two files", len(blocks))
	}
	for name, test := range map[string]struct {
		blocks [][]string
		want   string
	}{
		"all namespaces":  {blocks[:1], "registry.example.com/erlang-operator:v0.1.0"},
		"some namespaces": {blocks[1:], `"name":"erlang-operator-manager","namespace":"shop"`},
	} {
		t.Run(name, func(t *testing.T) {
			text := ""
			for _, object := range must(built(written(t, test.blocks)))(t) {
				text += string(must(object.MarshalJSON())(t))
			}
			given := argument.FindStringSubmatch(test.blocks[0][2])
			if given == nil {
				t.Fatal("the overlay gives the manager no argument")
			}
			for _, want := range []string{test.want, `"` + given[1] + `"`} {
				if !strings.Contains(text, want) {
					t.Errorf("no %s", want)
				}
			}
		})
	}
}

// written is a directory with these files, beside config/.
func written(t *testing.T, blocks [][]string) string {
	t.Helper()
	directory := t.TempDir()
	check(t, os.Symlink(must(filepath.Abs(filepath.Join(repository(), "config")))(t), filepath.Join(directory, "config")))
	for _, block := range blocks {
		check(t, os.MkdirAll(filepath.Join(directory, block[1]), 0o755))
		check(t, os.WriteFile(filepath.Join(directory, block[1], "kustomization.yaml"), []byte(block[2]), 0o600))
	}
	return directory
}
