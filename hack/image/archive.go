package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/erlang-operator/erlang-operator/hack/cache"
)

// An image describes an archive.
type image struct {
	// reference is the full name with registry and tag, which containerd requires.
	reference string
	config    v1.Config
	// inputs is a digest of everything that files depends on.
	inputs string
	// files writes the only layer.
	files func(*tree) error
}

// archive returns the path of the image's archive in dir, which it creates if
// necessary.
func (i image) archive(dir string) (string, error) {
	path := filepath.Join(dir, i.basename()+"-"+i.digest()+".tar")
	err := cache.Once(path, func(tmp string) error {
		progress("Archiving %s", i.reference)
		return i.write(tmp)
	})
	return path, err
}

// basename returns the last part of the reference as a file name.
func (i image) basename() string {
	name := i.reference[strings.LastIndex(i.reference, "/")+1:]
	return strings.ReplaceAll(name, ":", "-")
}

// digest returns a digest of all inputs of the image.
func (i image) digest() string {
	config, err := json.Marshal(i.config)
	if err != nil {
		panic(err) // a struct of strings
	}
	sum := sha256.New()
	for _, part := range [][]byte{[]byte(i.reference), config, []byte(i.inputs), []byte(runtime.GOARCH)} {
		sum.Write(part)
		sum.Write([]byte{0})
	}
	return hex.EncodeToString(sum.Sum(nil))[:12]
}

// write writes the archive: a tar of an OCI image layout.
func (i image) write(path string) error {
	work, err := os.MkdirTemp(filepath.Dir(path), "image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)

	layer, err := newLayer(filepath.Join(work, "layer.tar"), i.files)
	if err != nil {
		return err
	}
	img, err := i.assemble(layer)
	if err != nil {
		return err
	}
	oci, err := layout.Write(filepath.Join(work, "layout"), empty.Index)
	if err != nil {
		return err
	}
	tag := i.reference[strings.LastIndex(i.reference, ":")+1:]
	err = oci.AppendImage(img,
		layout.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}),
		layout.WithAnnotations(map[string]string{
			"io.containerd.image.name":          i.reference,
			"org.opencontainers.image.ref.name": tag,
		}))
	if err != nil {
		return err
	}
	_, err = writeTree(path, func(t *tree) error { return t.directory(string(oci)) })
	return err
}

func (i image) assemble(layer v1.Layer) (v1.Image, error) {
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
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Created = v1.Time{Time: epoch.UTC()}
	file.Config = i.config
	return mutate.ConfigFile(img, file)
}

// writeTree writes the tar file of a tree and returns its digest.
func writeTree(path string, fill func(*tree) error) (v1.Hash, error) {
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
