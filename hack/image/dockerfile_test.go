package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1"
)

const sampleDockerfile = `# comment
ARG SUITE=trixie

FROM debian:${SUITE}-slim AS tools
RUN apt-get update && \
    apt-get install -y elixir

FROM tools
COPY a b/ ./
COPY --from=tools --chown=1000 /etc/passwd /etc/group /app/
CMD ["bin/chat", "start"]
`

func TestParseDockerfile(t *testing.T) {
	got, err := parseDockerfile(sampleDockerfile, map[string]string{"SUITE": "forky"})
	if err != nil {
		t.Fatal(err)
	}
	want := []stage{
		{"tools", "debian:forky-slim", []step{{"RUN", "apt-get update && apt-get install -y elixir"}}},
		{"", "tools", []step{
			{"COPY", "a b/ ./"},
			{"COPY", "--from=tools --chown=1000 /etc/passwd /etc/group /app/"},
			{"CMD", `["bin/chat", "start"]`},
		}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(stage{}, step{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !got[0].downloads() || got[1].downloads() {
		t.Error("the first stage alone downloads")
	}
}

func TestParseDockerfileRefusesWhatItCannotDo(t *testing.T) {
	for _, text := range []string{"FROM a\nADD b c/", "RUN before a stage", "FROM a\nARG LATE"} {
		if got, err := parseDockerfile(text, nil); err == nil {
			t.Errorf("%q is accepted as %v", text, got)
		}
	}
	for _, arguments := range []string{"a", "a b", "--link a b/"} {
		if got, err := parseCopy(arguments); err == nil {
			t.Errorf("COPY %s is accepted as %v", arguments, got)
		}
	}
}

// A build of two stages without RUN, which would need root.
func TestBuildCopiesAndConfigures(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "lib/one"), "1")
	write(t, filepath.Join(dir, "two"), "2")
	write(t, filepath.Join(dir, "base/etc/passwd"), "root")
	const text = "FROM base AS first\nWORKDIR /src\nCOPY two ./\nCOPY lib ./lib/\n" +
		"FROM base\nWORKDIR app\nENV A=1 B=2\nCOPY --from=first /src ./\nUSER 1000\nENTRYPOINT [\"one\"]\n"
	made := buildSample(t, dir, text)
	for name, want := range map[string]string{"app/two": "2", "app/lib/one": "1", "etc/passwd": "root"} {
		if content, err := os.ReadFile(filepath.Join(made.rootfs, name)); err != nil || string(content) != want {
			t.Errorf("%s contains %q, %v; want %q", name, content, err, want)
		}
	}
	want := v1.Config{Entrypoint: []string{"one"}, Env: []string{"P=/", "A=1", "B=2"}, User: "1000", WorkingDir: "/app"}
	if diff := cmp.Diff(want, made.config); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}

	stages := filepath.Join(dir, "cached/stages")
	if err := os.RemoveAll(stages); err != nil {
		t.Fatal(err)
	}
	if again := buildSample(t, dir, text); again.inputs != made.inputs {
		t.Error("the same sources give another stage")
	}
	if _, err := os.Stat(stages); err == nil {
		t.Error("a stage is made that nothing needs")
	}
	write(t, filepath.Join(dir, "lib/one"), "changed")
	if changed := buildSample(t, dir, text); changed.inputs == made.inputs {
		t.Error("a changed source gives the same stage")
	}
}

func buildSample(t *testing.T, dir, text string) built {
	t.Helper()
	last, err := sampleStage(t, dir, text)
	if err == nil {
		err = last.make(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return last
}

func TestCopyFromNoStage(t *testing.T) {
	if _, err := sampleStage(t, t.TempDir(), "FROM base\nCOPY --from=other /src ./\n"); err == nil || !strings.Contains(err.Error(), "--from=other") {
		t.Errorf("error %v", err)
	}
}

func sampleStage(t *testing.T, dir, text string) (built, error) {
	t.Helper()
	b := build{
		context: dir,
		cached:  filepath.Join(dir, "cached"),
		base: func(string) (built, error) {
			return built{rootfs: filepath.Join(dir, "base"), config: v1.Config{Env: []string{"P=/"}}, make: func(context.Context) error { return nil }}, nil
		},
		stages: map[string]built{},
	}
	stages, err := parseDockerfile(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b.last(stages)
}

// Every example has a Dockerfile that this program can build, and a manifest that names
// its image.
func TestExamplesCanBeBuilt(t *testing.T) {
	dirs, err := filepath.Glob("../../docs/examples/*/Dockerfile")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, name := range dirs {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseDockerfile(string(text), nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		reference, err := exampleReference(filepath.Dir(name), "25")
		if err != nil || !strings.HasSuffix(reference, "-otp25") {
			t.Errorf("%s: the image is %q: %v", name, reference, err)
		}
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// firstCell is what the first column of a table has in code.
var firstCell = regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")

// What the page of an example explains is in its manifest.
func TestPagesExplainTheirManifests(t *testing.T) {
	pages, err := filepath.Glob("../../docs/examples/*/README.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := os.ReadFile(filepath.Join(filepath.Dir(page), "cluster.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		lines := firstCell.FindAllStringSubmatch(string(text), -1)
		if len(lines) == 0 {
			t.Errorf("%s explains nothing", page)
		}
		for _, line := range lines {
			if !strings.Contains(string(manifest), line[1]) {
				t.Errorf("%s explains %q, which is not in the manifest", page, line[1])
			}
		}
	}
}
