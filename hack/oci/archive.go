package oci

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/erlang-operator/erlang-operator/hack/cache"
)

// An Image describes an archive.
type Image struct {
	// Reference is the full name with registry and tag, which containerd requires.
	Reference string
	Config    v1.Config
	// Inputs is a digest of everything that Files depends on.
	Inputs string
	// Files writes the only layer.
	Files func(*Tree) error
}

// Archive returns the path of the image's archive in dir, which it creates if
// necessary.
func (i Image) Archive(dir string) (string, error) {
	path := filepath.Join(dir, i.basename()+"-"+i.digest()+".tar")
	err := cache.Once(path, func(tmp string) error {
		fmt.Fprintln(os.Stderr, "Archiving", i.Reference)
		return i.write(tmp)
	})
	return path, err
}

// basename returns the last part of the reference as a file name.
func (i Image) basename() string {
	name := i.Reference[strings.LastIndex(i.Reference, "/")+1:]
	return strings.ReplaceAll(name, ":", "-")
}

// digest returns a digest of all inputs of the image.
func (i Image) digest() string {
	config, err := json.Marshal(i.Config)
	if err != nil {
		panic(err) // a struct of strings
	}
	sum := sha256.New()
	for _, part := range [][]byte{[]byte(i.Reference), config, []byte(i.Inputs), []byte(runtime.GOARCH)} {
		sum.Write(part)
		sum.Write([]byte{0})
	}
	return hex.EncodeToString(sum.Sum(nil))[:12]
}

// write writes the archive: a tar of an OCI image layout.
func (i Image) write(path string) error {
	work, err := os.MkdirTemp(filepath.Dir(path), "image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)

	layer, err := newLayer(filepath.Join(work, "layer.tar"), i.Files)
	if err != nil {
		return err
	}
	img, err := Assemble(layer, i.Config, runtime.GOARCH, epoch)
	if err != nil {
		return err
	}
	return writeLayout(path, func(l layout.Path) error {
		return l.AppendImage(img, layout.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}), named(i.Reference))
	})
}

// WriteIndex writes the archive of an index: the same image for several platforms.
func WriteIndex(path, reference string, index v1.ImageIndex) error {
	return writeLayout(path, func(l layout.Path) error { return l.AppendIndex(index, named(reference)) })
}

// named gives the entry of a layout the names that the specification and containerd read.
func named(reference string) layout.Option {
	return layout.WithAnnotations(map[string]string{
		"io.containerd.image.name":          reference,
		"org.opencontainers.image.ref.name": reference[strings.LastIndex(reference, ":")+1:],
	})
}

// writeLayout writes a tar of an OCI image layout with what fill appends to it.
func writeLayout(path string, fill func(layout.Path) error) error {
	work, err := os.MkdirTemp(filepath.Dir(path), "layout-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	l, err := layout.Write(filepath.Join(work, "layout"), empty.Index)
	if err != nil {
		return err
	}
	if err := fill(l); err != nil {
		return err
	}
	_, err = writeTree(path, func(t *Tree) error { return t.plain(string(l)) })
	return err
}

// Assemble makes an image for Linux of one layer.
func Assemble(layer v1.Layer, config v1.Config, architecture string, created time.Time) (v1.Image, error) {
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	img, err := mutate.AppendLayers(img, layer)
	if err != nil {
		return nil, err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", architecture
	file.Created = v1.Time{Time: created.UTC()}
	file.Config = config
	return mutate.ConfigFile(img, file)
}

// writeTree writes the tar file of a tree and returns its digest.
func writeTree(path string, fill func(*Tree) error) (v1.Hash, error) {
	f, err := os.Create(path)
	if err != nil {
		return v1.Hash{}, err
	}
	defer f.Close()
	sum := sha256.New()
	t := newTree(io.MultiWriter(f, sum))
	if err := fill(t); err != nil {
		return v1.Hash{}, err
	}
	if err := t.close(); err != nil {
		return v1.Hash{}, err
	}
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}, f.Close()
}
