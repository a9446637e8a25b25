package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1"

	"github.com/erlang-operator/erlang-operator/hack/cache"
	"github.com/erlang-operator/erlang-operator/hack/retry"
)

// A build makes the stages of a Dockerfile, each in a directory of the cache. There is no
// container engine: the steps run in a chroot.
type build struct {
	// context is the directory of the Dockerfile, cached the one for the last stages, which has
	// one for the others.
	context, cached string
	// base returns the root file system of an image that the Dockerfile does not make.
	base   func(name string) (built, error)
	stages map[string]built
}

// built is a stage, or the base of one.
type built struct {
	rootfs string
	// inputs is a digest of everything that it is made from.
	inputs string
	config v1.Config
	// make makes the root file system, unless it is there.
	make func(context.Context) error
}

// How many root file systems are kept of those that were used last. The examples have ten; of the stages
// before, those help that somebody works on.
const (
	keptExamples = 12
	keptStages   = 4
)

// last is the last of these stages. None is made yet: of those before, most are never needed.
func (b *build) last(stages []stage) (last built, err error) {
	for i, s := range stages {
		cached := filepath.Join(b.cached, "stages")
		if i == len(stages)-1 {
			cached = b.cached
		}
		if last, err = b.stage(s, cached); err != nil {
			return built{}, err
		}
		b.stages[s.name] = last
	}
	return last, nil
}

// prune removes what has not been used for long.
func (b *build) prune() error {
	return errors.Join(cache.Prune(filepath.Join(b.cached, "*", "rootfs"), keptExamples),
		cache.Prune(filepath.Join(b.cached, "stages", "*", "rootfs"), keptStages))
}

func (b *build) stage(s stage, cached string) (built, error) {
	from, err := b.from(s.base)
	if err != nil {
		return built{}, err
	}
	inputs, err := b.inputs(s, from)
	if err != nil {
		return built{}, err
	}
	described := built{rootfs: filepath.Join(cached, inputs[:12], "rootfs"), inputs: inputs, config: from.config}
	described.config.Env = slices.Clone(from.config.Env)
	configs := make([]v1.Config, len(s.steps)) // as they are when each step runs
	for i, step := range s.steps {
		if described.config, err = configure(described.config, step); err != nil {
			return built{}, err
		}
		configs[i] = described.config
	}
	described.make = func(ctx context.Context) error {
		return cache.Once(described.rootfs, func(tmp string) error { return b.run(ctx, s, from, configs, tmp) })
	}
	return described, nil
}

// run runs the steps of a stage, each with the configuration that it has then.
func (b *build) run(ctx context.Context, s stage, from built, configs []v1.Config, rootfs string) error {
	if err := from.make(ctx); err != nil {
		return err
	}
	progress("Building the stage %q from %s", s.name, s.base)
	once := func() error {
		if err := os.RemoveAll(rootfs); err != nil {
			return err
		}
		if err := command(ctx, "cp", "-a", from.rootfs, rootfs); err != nil {
			return err
		}
		for i, step := range s.steps {
			if err := b.do(ctx, step, configs[i], rootfs); err != nil {
				return err
			}
		}
		return nil
	}
	if !s.downloads() {
		return once()
	}
	return retry.Do(ctx, fmt.Sprintf("build the stage %q", s.name), once)
}

// downloads reports whether a stage needs the network.
func (s stage) downloads() bool {
	return slices.ContainsFunc(s.steps, func(s step) bool { return strings.Contains(s.arguments, "apt-get ") })
}

func (b *build) from(name string) (built, error) {
	if described, ok := b.stages[name]; ok {
		return described, nil
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
		stage, ok := b.stages[c.from]
		if !ok {
			return "", fmt.Errorf("COPY --from=%s: no stage above has this name", c.from)
		}
		return stage.inputs, nil
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
