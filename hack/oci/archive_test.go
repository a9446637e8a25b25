package oci

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func TestArchiveIsAValidNamedImage(t *testing.T) {
	files := sampleFiles(t)
	path, err := Image{
		Reference: "docker.io/example/sample:1",
		Config:    v1.Config{User: "65532:65532", Cmd: []string{"/bin/tool"}},
		Files:     func(t *Tree) error { return t.Directory(files) },
	}.Archive(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}

	index, err := layout.ImageIndexFromPath(unpack(t, path))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index, validate.Fast); err != nil {
		t.Error(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(manifest.Manifests); n != 1 {
		t.Fatalf("%d images in the archive, want 1", n)
	}
	annotations := manifest.Manifests[0].Annotations
	if got := annotations["io.containerd.image.name"]; got != "docker.io/example/sample:1" {
		t.Errorf("containerd would name the image %q", got)
	}
	img, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Config.User != "65532:65532" {
		t.Errorf("user %q, want %q", config.Config.User, "65532:65532")
	}
}

func TestArchiveIsReproducible(t *testing.T) {
	contents := make([][]byte, 2)
	for i := range contents {
		// Created again, with other inodes and times.
		files := sampleFiles(t)
		path, err := Image{
			Reference: "docker.io/example/sample:1",
			Files:     func(t *Tree) error { return t.Directory(files) },
		}.Archive(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if contents[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(contents[0], contents[1]) {
		t.Error("the same files gave two different archives")
	}
}

// The archive of an index has the same bytes whoever makes it, with any umask.
func TestArchiveOfAnIndexNamesNoUser(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.tar")
	defer syscall.Umask(syscall.Umask(0o077))
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: empty.Image})
	if err := WriteIndex(path, "docker.io/example/sample:1", index); err != nil {
		t.Fatal(err)
	}
	eachEntry(t, path, func(header *tar.Header, _ io.Reader) {
		want := int64(0o644)
		if header.Typeflag == tar.TypeDir {
			want = 0o755
		}
		if header.Mode != want || header.Uid != 0 || header.Gid != 0 || !header.ModTime.Equal(epoch) {
			t.Errorf("%s has mode %o, owner %d:%d and time %s", header.Name, header.Mode, header.Uid, header.Gid, header.ModTime)
		}
	})
}

func TestTreeKeepsModesAndLinks(t *testing.T) {
	files := sampleFiles(t)
	var buffer bytes.Buffer
	tr := newTree(&buffer)
	if err := tr.Directory(files, "tmp"); err != nil {
		t.Fatal(err)
	}
	if err := tr.close(); err != nil {
		t.Fatal(err)
	}
	got := map[string]*tar.Header{}
	for r := tar.NewReader(&buffer); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got[header.Name] = header
	}
	if h := got["bin/tool"]; h == nil || h.Mode != 0o4755 {
		t.Errorf("bin/tool: %+v, want mode 04755", h)
	}
	if h := got["bin/twin"]; h == nil || h.Typeflag != tar.TypeLink || h.Linkname != "bin/tool" {
		t.Errorf("bin/twin: %+v, want a hard link to bin/tool", h)
	}
	if h := got["sbin"]; h == nil || h.Typeflag != tar.TypeSymlink || h.Linkname != "bin" {
		t.Errorf("sbin: %+v, want a symbolic link to bin", h)
	}
	if h := got["tmp/"]; h == nil || h.Mode != 0o1777 {
		t.Errorf("tmp/: %+v, want mode 01777", h)
	}
	if h := got["tmp/left"]; h != nil {
		t.Error("an emptied directory came with its content")
	}
}

func TestArchiveNameFollowsItsInputs(t *testing.T) {
	base := Image{Reference: "docker.io/example/sample:1", Inputs: "a"}
	for what, other := range map[string]Image{
		"files":  {Reference: base.Reference, Inputs: "b"},
		"config": {Reference: base.Reference, Inputs: "a", Config: v1.Config{User: "1"}},
		"tag":    {Reference: "docker.io/example/sample:2", Inputs: "a"},
	} {
		if other.digest() == base.digest() {
			t.Errorf("another %s, but the same archive name", what)
		}
	}
}

// checkBlob compares a blob with its name, which is its digest.
func checkBlob(t *testing.T, name string, content []byte) {
	t.Helper()
	if sum := fmt.Sprintf("%x", sha256.Sum256(content)); filepath.Base(name) != sum {
		t.Errorf("%s has the digest %s", name, sum)
	}
}

// sampleFiles creates a small root file system with one file of each kind.
func sampleFiles(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(filepath.Join(dir, "bin"), 0o755))
	tool := filepath.Join(dir, "bin", "tool")
	must(os.WriteFile(tool, []byte("tool"), 0o755))
	must(os.Chmod(tool, 0o755|os.ModeSetuid))
	must(os.Chtimes(tool, time.Now(), time.Now()))
	must(os.Link(tool, filepath.Join(dir, "bin", "twin")))
	must(os.Symlink("bin", filepath.Join(dir, "sbin")))
	must(os.Mkdir(filepath.Join(dir, "tmp"), 0o755))
	must(os.Chmod(filepath.Join(dir, "tmp"), 0o777|os.ModeSticky))
	must(os.WriteFile(filepath.Join(dir, "tmp", "left"), nil, 0o644))
	return dir
}

// eachEntry visits the entries of an archive.
func eachEntry(t *testing.T, archive string, visit func(header *tar.Header, content io.Reader)) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		visit(header, r)
	}
}

func unpack(t *testing.T, archive string) string {
	t.Helper()
	dir := t.TempDir()
	eachEntry(t, archive, func(header *tar.Header, r io.Reader) {
		name := filepath.Join(dir, header.Name)
		if header.Typeflag == tar.TypeDir {
			if err := os.MkdirAll(name, 0o755); err != nil {
				t.Fatal(err)
			}
			return
		}
		content, err := io.ReadAll(r)
		if err == nil {
			err = os.WriteFile(name, content, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(header.Name, "blobs/") {
			checkBlob(t, header.Name, content)
		}
	})
	return dir
}
