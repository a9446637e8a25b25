package main

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// pauseImage is the image of every pod's sandbox, as hack/image names it.
const pauseImage = "localhost/pause:dev"

// load imports archives into every node, because there is no registry to pull from.
func (c *cluster) load(ctx context.Context, archives []string) error {
	if len(archives) == 0 {
		return errors.New("name the archives to load")
	}
	if err := c.checkOwner(); err != nil {
		return err
	}
	for _, archive := range archives {
		if err := c.loadArchive(ctx, archive); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) loadArchive(ctx context.Context, archive string) error {
	archive, err := filepath.Abs(archive)
	if err != nil {
		return err
	}
	image, err := readArchive(archive)
	if err != nil {
		return fmt.Errorf("read %s: %w", archive, err)
	}
	for _, n := range c.nodes {
		if n.holder() == 0 {
			return fmt.Errorf("load %s: %s is not running; start it with up", image.name, n.name)
		}
		if n.has(ctx, image) {
			continue
		}
		say("        loading %s into %s", image.name, n.name)
		if _, err := n.ctr(ctx, "images", "import", "--snapshotter="+n.snapshotter(), archive); err != nil {
			return err
		}
		if !n.has(ctx, image) {
			return fmt.Errorf("load %s: %s imported the archive but does not have the image", image.name, n.name)
		}
		if _, err := n.ctr(ctx, "images", "tag", "--force", image.name, image.byDigest()); err != nil {
			return err
		}
	}
	return nil
}

// An image is identified by its name and its digest.
type image struct{ name, digest string }

// byDigest is the name under which a manifest finds the image that names it by its digest:
// a registry would have it, and the import of an archive does not make it.
func (i image) byDigest() string {
	repository := i.name
	if colon := strings.LastIndex(i.name, ":"); colon > strings.LastIndex(i.name, "/") {
		repository = i.name[:colon]
	}
	return repository + "@" + i.digest
}

// has reports whether the node has this image, not another one of that name.
func (n node) has(ctx context.Context, i image) bool {
	list, err := n.ctr(ctx, "images", "list", "name=="+i.name)
	return err == nil && strings.Contains(list, i.digest)
}

// readArchive returns the name and digest of the image in an OCI archive.
func readArchive(file string) (image, error) {
	f, err := os.Open(file)
	if err != nil {
		return image{}, err
	}
	defer func() { _ = f.Close() }()
	archive := tar.NewReader(f)
	for {
		header, err := archive.Next()
		if err != nil {
			return image{}, fmt.Errorf("find index.json: %w", err)
		}
		if filepath.Clean(header.Name) != "index.json" {
			continue
		}
		var index struct {
			Manifests []struct {
				Digest      string
				Annotations map[string]string
			}
		}
		if err := json.NewDecoder(archive).Decode(&index); err != nil {
			return image{}, fmt.Errorf("read index.json: %w", err)
		}
		if len(index.Manifests) != 1 {
			return image{}, fmt.Errorf("it holds %d images instead of one", len(index.Manifests))
		}
		manifest := index.Manifests[0]
		for _, key := range []string{"io.containerd.image.name", "org.opencontainers.image.ref.name"} {
			if name := manifest.Annotations[key]; name != "" {
				return image{name, manifest.Digest}, nil
			}
		}
		return image{}, errors.New("its image has no name")
	}
}

// loadImage builds and loads one of the images that the cluster itself needs.
func (c *cluster) loadImage(ctx context.Context, name string) error {
	archive, err := c.makeImage(ctx, name)
	if err != nil {
		return err
	}
	return c.loadArchive(ctx, archive)
}

// makeImage runs hack/image with a name and returns the path of the result.
func (c *cluster) makeImage(ctx context.Context, name string) (file string, err error) {
	defer sayWhileWaiting("making " + name)()
	cmd := exec.CommandContext(ctx, "go", "run", "./image", name)
	cmd.Dir = filepath.Join(c.checkout, "hack")
	file, err = outputOf(cmd)
	return strings.TrimSpace(file), err
}
