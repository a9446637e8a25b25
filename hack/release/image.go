package main

import (
	"context"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/erlang-operator/erlang-operator/hack/gobuild"
	"github.com/erlang-operator/erlang-operator/hack/oci"
)

// makeImage makes one index with an image for each platform. An image has no base: the
// program is static, trusts only the CA of the API server, which its ServiceAccount brings,
// and needs no user by name.
func (r *release) makeImage(context.Context) error {
	labels := r.labels()
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range imagePlatforms() {
		img, err := r.platformImage(p, labels)
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        img,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: p.os, Architecture: p.architecture}},
		})
	}
	index = mutate.Annotations(index, labels).(v1.ImageIndex)
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	r.digest = digest.String()
	return oci.WriteIndex(r.archive(), r.tag(), index)
}

// archive is the file of the image.
func (r *release) archive() string { return r.path("image.tar") }

func (r *release) platformImage(p platform, labels map[string]string) (v1.Image, error) {
	layer, err := oci.CompressedLayer(func(t *oci.Tree) error {
		for _, file := range []struct {
			name, source string
			mode         int64
		}{
			{name, r.binary(p), 0o755},
			{"licenses/LICENSE", filepath.Join(r.root, "LICENSE"), 0o644},
			{"licenses/" + thirdParty, filepath.Join(r.dist, thirdParty), 0o644},
		} {
			if err := t.File(file.name, file.source, file.mode); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	img, err := oci.Assemble(layer, gobuild.ImageConfig(name, labels), p.architecture, r.committed)
	if err != nil {
		return nil, err
	}
	return mutate.Annotations(img, labels).(v1.Image), nil
}

// labels are those that the specification of OCI images names.
func (r *release) labels() map[string]string {
	const prefix = "org.opencontainers.image."
	return map[string]string{
		prefix + "title":         name,
		prefix + "description":   "Erlang clusters on Kubernetes: a full mesh over mutual TLS, verified on the running nodes",
		prefix + "version":       r.version,
		prefix + "revision":      r.commit,
		prefix + "created":       r.committed.Format(time.RFC3339),
		prefix + "source":        source,
		prefix + "url":           source,
		prefix + "documentation": source + "/blob/" + r.version + "/README.md",
		prefix + "licenses":      "Apache-2.0",
	}
}
