package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// assemble makes a release whose binaries are this test. All else is made as it is.
func assemble(t *testing.T) *release {
	t.Helper()
	r := must(newRelease(t.Context(), "v0.1.0"))(t)
	r.dist = t.TempDir()
	program := must(os.ReadFile(must(os.Executable())(t)))(t)
	for _, p := range platforms {
		check(t, os.WriteFile(r.binary(p), program, 0o755))
	}
	check(t, r.makeLicenses(t.Context()))
	check(t, r.makeImage(t.Context()))
	check(t, r.makeManifests(t.Context()))
	check(t, r.makeChart(t.Context()))
	check(t, r.makeSBOMs(t.Context()))
	check(t, r.makeNotes(t.Context()))
	check(t, r.makeChecksums(t.Context()))
	return r
}

// The pieces agree, and are the same when they are made again; a piece of another release
// is noticed.
func TestPiecesOfAReleaseAgree(t *testing.T) {
	r := assemble(t)
	check(t, r.verify())

	again := assemble(t)
	if first, second := r.read(t, checksums), again.read(t, checksums); first != second {
		t.Errorf("made again, the pieces have other checksums:\n%s\n%s", first, second)
	}
	if notes := r.read(t, "NOTES.md"); !strings.Contains(notes, "### Added") || !strings.Contains(notes, r.image()) {
		t.Errorf("the notes have no section Added, or not the image %s:\n%s", r.image(), notes)
	}

	sbom := filepath.Base(r.binary(platforms[0])) + ".spdx.json"
	for what, test := range map[string]struct{ piece, from, to, complaint string }{
		"another image":       {"install.yaml", r.digest, "sha256:" + strings.Repeat("0", 64), "install.yaml runs"},
		"an image by its tag": {"install-namespaced.yaml", "@" + r.digest, "", "install-namespaced.yaml runs"},
		"another version":     {sbom, `"v0.1.0"`, `"v0.2.0"`, "is of the version"},
		"another dependency":  {sbom, `"name": "github.com/sergi/go-diff"`, `"name": "diff"`, "has github.com/sergi/go-diff"},
		"notes changed":       {"NOTES.md", "### Added", "### Fixed", "SHA256SUMS lists NOTES.md"},
	} {
		t.Run(what, func(t *testing.T) {
			content := r.read(t, test.piece)
			changed := strings.ReplaceAll(content, test.from, test.to)
			if changed == content {
				t.Fatalf("%s does not have %s", test.piece, test.from)
			}
			check(t, os.WriteFile(filepath.Join(r.dist, test.piece), []byte(changed), 0o644))
			defer func() { check(t, os.WriteFile(filepath.Join(r.dist, test.piece), []byte(content), 0o644)) }()
			if err := r.verify(); err == nil || !strings.Contains(err.Error(), test.complaint) {
				t.Errorf("error %v, want one with %q", err, test.complaint)
			}
		})
	}
	t.Run("another commit", func(t *testing.T) {
		later := *r
		later.commit = strings.Repeat("0", 40)
		if err := later.verify(); err == nil || !strings.Contains(err.Error(), later.commit+" is checked out") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a chart of another image", func(t *testing.T) {
		again.digest = "sha256:" + strings.Repeat("0", 64)
		check(t, again.makeChart(t.Context()))
		if err := again.verify(); err == nil || !strings.Contains(err.Error(), "does not install "+r.digest) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a piece that is not listed", func(t *testing.T) {
		check(t, os.WriteFile(filepath.Join(r.dist, "more"), nil, 0o644))
		if err := r.verify(); err == nil || !strings.Contains(err.Error(), "does not list [more]") {
			t.Errorf("error %v", err)
		}
	})
}

// A newer Go than that of go.mod, which the go command would use, is refused.
func TestReleasesAreMadeWithOneGo(t *testing.T) {
	for running, valid := range map[string]bool{"go1.26.8": true, "go1.27.0": false, "go1.26.8 X:nogreenteagc": false} {
		if err := isPinned(running, "go1.26.8"); (err == nil) != valid {
			t.Errorf("%s: %v", running, err)
		}
	}
	if isPinned("go1.26.8", "") == nil {
		t.Error("a go.mod without a toolchain is accepted")
	}
}

// The module proxy has no path with capitals.
func TestModulesAreWhereTheSBOMSays(t *testing.T) {
	const want = "https://proxy.golang.org/github.com/!kim!machine!gun/automemlimit/@v/v1.0.1.zip"
	r := &release{}
	if got := r.contains("github.com/KimMachineGun/automemlimit", "v1.0.1").PackageDownloadLocation; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestVersions(t *testing.T) {
	for version, valid := range map[string]bool{"v0.1.0": true, "v1.2.3-rc.1": true, "0.1.0": false, "v1": false, "v0.1.0;": false} {
		if _, err := newRelease(t.Context(), version); (err == nil) != valid {
			t.Errorf("%s: %v", version, err)
		}
	}
}

// A release is only made of a version with notes.
func TestNotes(t *testing.T) {
	r := &release{version: "v9.9.9", root: "../.."}
	if _, err := r.notes(); err == nil || !strings.Contains(err.Error(), "no section [9.9.9]") {
		t.Errorf("error %v", err)
	}
	final, candidate := &release{version: "v0.1.0", root: "../.."}, &release{version: "v0.1.0-rc.1", root: "../.."}
	a, b := must(final.notes())(t), must(candidate.notes())(t)
	if strings.ReplaceAll(a, "v0.1.0", "") != strings.ReplaceAll(b, "v0.1.0-rc.1", "") {
		t.Error("a release candidate has other notes than its release")
	}
}

func (r *release) read(t *testing.T, piece string) string {
	t.Helper()
	return string(must(os.ReadFile(filepath.Join(r.dist, piece)))(t))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		check(t, err)
		return value
	}
}
