package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestManifestsNameTheImageThatIsMade(t *testing.T) {
	files, err := filepath.Glob("../certmanager/manifests/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no manifests: %v", err)
	}
	reference := addons["cert-manager"].reference
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(content), "image: "+reference+"\n") {
			return
		}
	}
	t.Errorf("no manifest runs %s", reference)
}

func TestDocumentsKeepsFilesApart(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"b.yaml": "kind: B", "a.yaml": "---\nkind: A\n", "README.md": "no"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := documents(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := "---\nkind: A\n\n---\nkind: B\n"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := documents(t.TempDir()); err == nil {
		t.Error("a directory without YAML files is no error")
	}
}
