package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/go-containerregistry/pkg/v1"

	"github.com/erlang-operator/erlang-operator/hack/cache"
)

// A build makes the stages of a Dockerfile, each in a directory of the cache. There is no
// container engine: the steps run in a chroot.
type build struct {
	// context is the directory of the Dockerfile, cached the one for the stages.
	context, cached string
	// base returns the root file system of an image that the Dockerfile does not make.
	base func(name string) (built, error)
	done map[string]built
}

// built is a stage, or the base of one.
type built struct {
	rootfs string
	// inputs is a digest of everything that it is made from.
	inputs string
	config v1.Config
}

// stages makes all stages, and returns the last.
func (b *build) stages(ctx context.Context, stages []stage) (last built, err error) {
	for _, s := range stages {
		if last, err = b.stage(ctx, s); err != nil {
			return built{}, err
		}
		b.done[s.name] = last
	}
	return last, nil
}

func (b *build) stage(ctx context.Context, s stage) (built, error) {
	from, err := b.from(s.base)
	if err != nil {
		return built{}, err
	}
	inputs, err := b.inputs(s, from)
	if err != nil {
		return built{}, err
	}
	made := built{rootfs: filepath.Join(b.cached, inputs[:12], "rootfs"), inputs: inputs, config: from.config}
	made.config.Env = slices.Clone(from.config.Env)
	configs := make([]v1.Config, len(s.steps)) // as they are when each step runs
	for i, step := range s.steps {
		if made.config, err = configure(made.config, step); err != nil {
			return built{}, err
		}
		configs[i] = made.config
	}
	return made, cache.Once(made.rootfs, func(tmp string) error {
		progress("Building the stage %q from %s", s.name, s.base)
		if err := command(ctx, "cp", "-a", from.rootfs, tmp); err != nil {
			return err
		}
		for i, step := range s.steps {
			if err := b.do(ctx, step, configs[i], tmp); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *build) from(name string) (built, error) {
	if done, ok := b.done[name]; ok {
		return done, nil
	}
	return b.base(name)
}

// inputs is a digest of all that a stage is made from.
func (b *build) inputs(s stage, from built) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, from.inputs, from.config)
	for _, step := range s.steps {
		fmt.Fprintln(sum, step.instruction, step.arguments)
		if step.instruction != "COPY" {
			continue
		}
		c, err := parseCopy(step.arguments)
		if err != nil {
			return "", err
		}
		content, err := b.content(c)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(sum, content)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// content is a digest of what a COPY instruction copies.
func (b *build) content(c copied) (string, error) {
	if c.from != "" {
		return b.done[c.from].inputs, nil
	}
	sum := sha256.New()
	for _, source := range c.sources {
		err := filepath.WalkDir(filepath.Join(b.context, source), func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			digest, err := digestOf(path)
			fmt.Fprintln(sum, path[len(b.context):], info.Mode(), digest)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
