package main

import (
	"compress/gzip"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/erlang-operator/erlang-operator/hack/gobuild"
	"github.com/erlang-operator/erlang-operator/hack/oci"
)

// verify checks that the pieces in dist/ agree: each is listed with its checksum, the
// manifests name the image that is there by its digest, and everything has the version, of the
// commit that is checked out.
func (r *release) verify() error {
	return errors.Join(r.verifyChecksums(), r.verifyImage(), r.verifyManifests(), r.verifyChart(), r.verifySBOMs())
}

func (r *release) verifyChecksums() error {
	listed, err := os.ReadFile(filepath.Join(r.dist, checksums))
	if err != nil {
		return err
	}
	sums, err := r.sums()
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(listed)) {
		sum, piece, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if sums[piece] != sum {
			err = errors.Join(err, fmt.Errorf("%s lists %s with %s, and that has %s", checksums, piece, sum, sums[piece]))
		}
		delete(sums, piece)
	}
	if len(sums) > 0 {
		err = errors.Join(err, fmt.Errorf("%s does not list %v", checksums, slices.Sorted(maps.Keys(sums))))
	}
	return err
}

// verifyImage checks the image, and remembers its digest.
func (r *release) verifyImage() error {
	work, err := os.MkdirTemp("", "image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := oci.Unpack(r.archive(), work); err != nil {
		return err
	}
	images, err := layout.ImageIndexFromPath(work)
	if err != nil {
		return err
	}
	entries, err := images.IndexManifest()
	if err != nil {
		return err
	}
	if len(entries.Manifests) != 1 {
		return fmt.Errorf("%s has %d entries, and must have one", r.archive(), len(entries.Manifests))
	}
	entry := entries.Manifests[0]
	r.digest = entry.Digest.String()
	if named := entry.Annotations["io.containerd.image.name"]; named != r.tag() {
		return fmt.Errorf("%s is of %s, not of %s", r.archive(), named, r.tag())
	}
	index, err := images.ImageIndex(entry.Digest)
	if err != nil {
		return err
	}
	return errors.Join(validate.Index(index), r.verifyPlatforms(index))
}

func (r *release) verifyPlatforms(index v1.ImageIndex) error {
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	var found []platform
	for _, descriptor := range manifest.Manifests {
		found = append(found, platform{descriptor.Platform.OS, descriptor.Platform.Architecture})
		img, err := index.Image(descriptor.Digest)
		if err != nil {
			return err
		}
		config, err := img.ConfigFile()
		if err != nil {
			return err
		}
		if got := config.Config.Labels["org.opencontainers.image.version"]; got != r.version {
			return fmt.Errorf("the image for %s has the version %q", config.Architecture, got)
		}
		if got := config.Config.Labels["org.opencontainers.image.revision"]; got != r.commit {
			return fmt.Errorf("the image for %s is of commit %s, and %s is checked out", config.Architecture, got, r.commit)
		}
	}
	if !slices.Equal(found, imagePlatforms()) {
		return fmt.Errorf("the image is for %v, and must be for %v", found, imagePlatforms())
	}
	return nil
}

// verifyManifests checks that nothing but the image of the release is installed.
func (r *release) verifyManifests() (err error) {
	for file := range installations {
		content, readErr := os.ReadFile(filepath.Join(r.dist, file))
		if readErr != nil {
			return readErr
		}
		images := 0
		for line := range strings.Lines(string(content)) {
			reference, found := strings.CutPrefix(strings.TrimLeft(line, " -"), "image: ")
			if !found {
				continue
			}
			images++
			if reference = strings.TrimSpace(reference); reference != r.image() {
				err = errors.Join(err, fmt.Errorf("%s runs %s, not %s", file, reference, r.image()))
			}
		}
		if images == 0 {
			err = errors.Join(err, fmt.Errorf("%s runs no image", file))
		}
		if strings.Contains(string(content), gobuild.Repository+":dev") {
			err = errors.Join(err, fmt.Errorf("%s names the development image", file))
		}
	}
	return err
}

// verifyChart checks that the chart is of the version, and installs the image.
func (r *release) verifyChart() error {
	f, err := os.Open(r.chart())
	if err != nil {
		return err
	}
	defer f.Close()
	unpacked, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("unpack %s: %w", r.chart(), err)
	}
	content, err := io.ReadAll(unpacked)
	if err != nil {
		return fmt.Errorf("unpack %s: %w", r.chart(), err)
	}
	for _, line := range []string{"appVersion: " + r.version + "\n", "repository: " + gobuild.Repository + "\n", fmt.Sprintf("digest: %q\n", r.digest)} {
		if !strings.Contains(string(content), line) {
			err = errors.Join(err, fmt.Errorf("%s does not install %s of %s: it has no line %s", r.chart(), r.digest, r.version, line))
		}
	}
	return err
}

// verifySBOMs checks that each binary and image has its SBOM, of this version and with all
// modules of the binary.
func (r *release) verifySBOMs() (err error) {
	for _, p := range platforms {
		pieces := []string{r.binary(p)}
		if p.os == "linux" {
			pieces = append(pieces, r.path("image-"+p.String()))
		}
		for _, piece := range pieces {
			err = errors.Join(err, r.verifySBOM(piece+".spdx.json", r.binary(p)))
		}
	}
	return err
}

func (r *release) verifySBOM(file, binary string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var document struct {
		Packages []struct{ Name, VersionInfo string }
	}
	if err := json.Unmarshal(content, &document); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	versions := map[string]string{}
	for _, p := range document.Packages {
		versions[p.Name] = p.VersionInfo
	}
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return err
	}
	for _, module := range info.Deps {
		if versions[module.Path] != module.Version {
			err = errors.Join(err, fmt.Errorf("%s has %s %q, and the binary %s", file, module.Path, versions[module.Path], module.Version))
		}
	}
	if got := versions[info.Main.Path]; got != r.version {
		err = errors.Join(err, fmt.Errorf("%s is of the version %q", file, got))
	}
	return err
}
