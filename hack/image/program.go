package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/erlang-operator/erlang-operator/hack/cache"
	"github.com/erlang-operator/erlang-operator/hack/gobuild"
	"github.com/erlang-operator/erlang-operator/hack/oci"
)

// program is a Go program that is the only file of an image.
type program struct {
	reference string
	// dir is the directory of the program's module, or of its package.
	dir string
	// pkg is the package to build, relative to dir.
	pkg string
}

// addons are the programs that the cluster itself runs. The manifests use the same
// names.
var addons = map[string]program{
	"pause":        {"localhost/pause:dev", "hack/pause", "."},
	"coredns":      {"localhost/coredns:1.15.0", "hack/coredns", "."},
	"cert-manager": {"localhost/cert-manager-controller:1.21.2", "hack/certmanager", "."},
}

// addon returns the archive of one of the programs under hack. It is rebuilt when the
// digest of the sources changes.
func addon(ctx context.Context, name string) (string, error) {
	root, err := repository()
	if err != nil {
		return "", err
	}
	cached, err := cache.Root()
	if err != nil {
		return "", err
	}
	p := addons[name]
	p.dir = filepath.Join(root, p.dir)

	inputs, err := sources(p.dir)
	if err != nil {
		return "", err
	}
	return archive(p.image(inputs, func(t *oci.Tree) error {
		return p.buildInto(ctx, t)
	}), cached)
}

// keptArchives is how many archives are kept of those that were used last. The programs, Erlang and the
// examples have sixteen.
const keptArchives = 20

// archive returns the path of an image's archive, and removes those that have not been used for long.
func archive(image oci.Image, cached string) (string, error) {
	images := filepath.Join(cached, "images")
	path, err := image.Archive(images)
	if err != nil {
		return "", err
	}
	return path, cache.Prune(filepath.Join(images, "*.tar"), keptArchives)
}

// operator returns the archive of the operator. It is always built, with the compiler's
// cache, and the digest of the binary is in the image's tag, so a deployment rolls out
// when it changes. Archives of older binaries are removed.
func operator(ctx context.Context) (string, error) {
	root, err := repository()
	if err != nil {
		return "", err
	}
	p := program{gobuild.Repository + ":dev", root, "./cmd/erlang-operator"}
	bin := filepath.Join(root, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	binary := filepath.Join(bin, "linux", p.name())
	if err := p.build(ctx, binary); err != nil {
		return "", err
	}
	inputs, err := digestOf(binary)
	if err != nil {
		return "", err
	}
	p.reference += "-" + inputs[:12]
	archive, err := p.image(inputs, func(t *oci.Tree) error {
		return t.File(p.name(), binary, 0o755)
	}).Archive(bin)
	if err != nil {
		return "", err
	}
	return archive, removeOthers(archive, filepath.Join(bin, p.name()+"-dev-*"))
}

func (p program) image(inputs string, files func(*oci.Tree) error) oci.Image {
	return oci.Image{
		Reference: p.reference,
		Config:    gobuild.ImageConfig(p.name(), nil),
		Inputs:    inputs,
		Files:     files,
	}
}

// name returns the program's name in its image.
func (p program) name() string {
	name, _, _ := strings.Cut(p.reference[strings.LastIndex(p.reference, "/")+1:], ":")
	return name
}

// buildInto builds the program and adds it to the tree.
func (p program) buildInto(ctx context.Context, t *oci.Tree) error {
	tmp, err := os.MkdirTemp("", "build-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	binary := filepath.Join(tmp, p.name())
	if err := p.build(ctx, binary); err != nil {
		return err
	}
	return t.File(p.name(), binary, 0o755)
}

// build builds a static binary that depends only on its sources and the compiler.
func (p program) build(ctx context.Context, binary string) error {
	progress("Building %s", p.name())
	return gobuild.Program{Dir: p.dir, Package: p.pkg, OS: "linux", Architecture: runtime.GOARCH}.Build(ctx, binary)
}

// repository returns the root of the source tree that contains the working directory.
func repository() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "hack", "image", "doc.go")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not in the source tree: run this in the repository", wd)
		}
	}
}

// sources returns a digest of the sources below dir and of the compiler's version.
func sources(dir string) (string, error) {
	sum := sha256.New()
	sum.Write([]byte(runtime.Version()))
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !isSource(entry.Name()) {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		content, err := digestOf(path)
		if err != nil {
			return err
		}
		sum.Write([]byte(name + " " + content + "\n"))
		return nil
	})
	return hex.EncodeToString(sum.Sum(nil)), err
}

func isSource(name string) bool {
	return name == "go.mod" || name == "go.sum" ||
		strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go")
}

func digestOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// removeOthers removes the files that match the pattern, except keep and its lock.
func removeOthers(keep, pattern string) error {
	matches, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	for _, path := range matches {
		if strings.HasPrefix(path, keep) {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
