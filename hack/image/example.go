package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1"

	"github.com/erlang-operator/erlang-operator/hack/cache"
	"github.com/erlang-operator/erlang-operator/hack/oci"
)

// exampleRelease is the release of OTP that the Dockerfiles of the examples have by default.
const exampleRelease = "27"

// imageLine is the line of a manifest that names the image.
var imageLine = regexp.MustCompile(`(?m)^[- ]*image: (\S+)$`)

// example builds docs/examples/NAME by its Dockerfile, and returns the archive of the image
// that its manifest names, or the root file system of that. With another release than the
// default, the tag ends in the release.
func example(ctx context.Context, what, name, release string) (path string, err error) {
	root, err := repository()
	if err != nil {
		return "", err
	}
	cached, err := cache.Root()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, "docs", "examples", name)
	b := build{
		context: dir,
		cached:  filepath.Join(cached, "examples"),
		base:    func(name string) (built, error) { return debian(ctx, cached, name) },
		stages:  map[string]built{},
	}
	last, err := exampleStage(&b, release)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, b.prune()) }()
	if what == "example-rootfs" {
		return last.rootfs, last.make(ctx)
	}
	return exampleArchive(ctx, last, dir, cached, release)
}

func exampleArchive(ctx context.Context, last built, dir, cached, release string) (string, error) {
	reference, err := exampleReference(dir, release)
	if err != nil {
		return "", err
	}
	return archive(oci.Image{
		Reference: reference,
		Config:    last.config,
		Inputs:    last.inputs,
		Files: func(t *oci.Tree) error {
			if err := last.make(ctx); err != nil {
				return err
			}
			return t.Directory(last.rootfs, emptied...)
		},
	}, cached)
}

func exampleReference(dir, release string) (string, error) {
	manifest, err := os.ReadFile(filepath.Join(dir, "cluster.yaml"))
	if err != nil {
		return "", err
	}
	match := imageLine.FindSubmatch(manifest)
	if match == nil {
		return "", fmt.Errorf("no line in %s names an image", filepath.Join(dir, "cluster.yaml"))
	}
	reference := string(match[1])
	if release != exampleRelease {
		reference += "-otp" + release
	}
	return reference, nil
}

// exampleStage is the last stage of an example's Dockerfile.
func exampleStage(b *build, release string) (built, error) {
	dockerfile, err := os.ReadFile(filepath.Join(b.context, "Dockerfile"))
	if err != nil {
		return built{}, err
	}
	stages, err := parseDockerfile(string(dockerfile), map[string]string{"SUITE": suites[release]})
	if err != nil {
		return built{}, err
	}
	return b.last(stages)
}

// debian is the image debian:SUITE-slim, made by debootstrap.
func debian(ctx context.Context, cached, name string) (built, error) {
	suite, isSlim := strings.CutSuffix(strings.TrimPrefix(name, "debian:"), "-slim")
	if !isSlim {
		return built{}, fmt.Errorf("there is no image %s here: use debian:SUITE-slim", name)
	}
	rootfs := filepath.Join(cached, "debian", suite, "rootfs")
	err := cache.Once(rootfs, func(tmp string) error {
		if err := ensureDebootstrap(ctx); err != nil {
			return err
		}
		progress("Installing Debian %s: half a minute", suite)
		if err := debootstrap(ctx, suite, tmp); err != nil {
			return err
		}
		// A mirror may be an older state, which debootstrap accepts as well.
		if err := os.WriteFile(filepath.Join(tmp, "etc/apt/apt.conf.d/older-mirror"), []byte("Acquire::Check-Valid-Until \"false\";\n"), 0o644); err != nil {
			return err
		}
		return trim(tmp)
	})
	if err != nil {
		return built{}, err
	}
	inputs, err := digestOf(filepath.Join(rootfs, "var/lib/dpkg/status"))
	return built{rootfs: rootfs, inputs: inputs, make: func(context.Context) error { return nil },
		config: v1.Config{Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}}}, err
}
