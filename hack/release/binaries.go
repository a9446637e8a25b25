package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/erlang-operator/erlang-operator/hack/gobuild"
)

// A platform is an operating system and an architecture, as the go command names them.
type platform struct{ os, architecture string }

func (p platform) String() string { return p.os + "-" + p.architecture }

// platforms are those of the binaries; the image has those of Linux.
var platforms = []platform{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}}

func imagePlatforms() (linux []platform) {
	for _, p := range platforms {
		if p.os == "linux" {
			linux = append(linux, p)
		}
	}
	return linux
}

func (r *release) makeBinaries(ctx context.Context) error {
	environment, err := r.pinned(ctx)
	if err != nil {
		return err
	}
	for _, p := range platforms {
		err := gobuild.Program{
			Dir: r.root, Package: "./cmd/" + name, OS: p.os, Architecture: p.architecture,
			Variables:   []string{"main.version=" + r.version, "main.commit=" + r.commit},
			Environment: environment,
		}.Build(ctx, r.binary(p))
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *release) binary(p platform) string { return r.path(p.String()) }

// pinned is the environment of the go command that does not depend on the machine.
func (r *release) pinned(ctx context.Context) ([]string, error) {
	described, err := output(ctx, r.root, "go", "mod", "edit", "-json")
	if err != nil {
		return nil, err
	}
	var module struct{ Toolchain string }
	if err := json.Unmarshal([]byte(described), &module); err != nil {
		return nil, fmt.Errorf("read go.mod: %w", err)
	}
	if module.Toolchain == "" {
		return nil, errors.New("go.mod has no line toolchain: the binaries would depend on the Go of the machine")
	}
	return []string{
		"GOTOOLCHAIN=" + module.Toolchain, "GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0", "GOFIPS140=off",
	}, nil
}
