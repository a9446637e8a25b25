package oci

import (
	"bytes"
	"errors"
	"io"
	"os"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// layer is a v1.Layer in a tar file without compression, which would only cost time: the
// archive never leaves the machine.
type layer struct {
	path   string
	digest v1.Hash
	size   int64
}

// CompressedLayer returns the layer with these files, compressed, in memory.
func CompressedLayer(files func(*Tree) error) (v1.Layer, error) {
	var content bytes.Buffer
	t := newTree(&content)
	if err := errors.Join(files(t), t.close()); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
}

func newLayer(path string, files func(*Tree) error) (*layer, error) {
	digest, err := writeTree(path, files)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	return &layer{path: path, digest: digest, size: info.Size()}, nil
}

func (l *layer) Digest() (v1.Hash, error)             { return l.digest, nil }
func (l *layer) DiffID() (v1.Hash, error)             { return l.digest, nil }
func (l *layer) Size() (int64, error)                 { return l.size, nil }
func (l *layer) MediaType() (types.MediaType, error)  { return types.OCIUncompressedLayer, nil }
func (l *layer) Compressed() (io.ReadCloser, error)   { return os.Open(l.path) }
func (l *layer) Uncompressed() (io.ReadCloser, error) { return os.Open(l.path) }
