package layout

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// owned are the beginnings of image names that nobody else can publish under: the
// project's own, the official images, those that no registry has, and RFC 2606's.
var owned = []string{
	"ghcr.io/erlang-operator/erlang-operator", "docker.io/library/", "localhost/",
	"registry.example.com/", "example.com/",
}

// A manifest that is applied as it is runs whatever is published under the names in it.
func TestNoImageCouldBeSomebodyElses(t *testing.T) {
	out, err := exec.Command("git", "ls-files", "config", "docs", "hack", "*.md").Output()
	if err != nil {
		t.Skipf("not a git checkout: %v", err)
	}
	image := regexp.MustCompile(`(?m)(?:^[ -]*|[{,] ?)image: ["']?([\w./-]+\w)`)
	named := 0
	for _, file := range strings.Fields(string(out)) {
		if !strings.HasSuffix(file, ".yaml") && !strings.HasSuffix(file, ".md") || strings.HasPrefix(file, "config/crd/") {
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range image.FindAllStringSubmatch(string(content), -1) {
			named++
			if !begins(found[1], owned) {
				t.Errorf("%s names the image %s, which could be somebody else's", file, found[1])
			}
		}
	}
	if named < 10 {
		t.Errorf("found %d images, want at least 10", named)
	}
}
