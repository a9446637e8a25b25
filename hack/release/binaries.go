package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"

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
	for _, p := range platforms {
		err := gobuild.Program{
			Dir: r.root, Package: "./cmd/" + name, OS: p.os, Architecture: p.architecture,
			Variables: []string{"main.version=" + r.version, "main.commit=" + r.commit},
		}.Build(ctx, r.binary(p))
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *release) binary(p platform) string { return r.path(p.String()) }

// pin has everything made by the Go of go.mod, with an environment that does not depend on
// the machine. This very program must have been built with it, too: it compresses the image.
func (r *release) pin(ctx context.Context) error {
	described, err := output(ctx, r.root, "go", "mod", "edit", "-json")
	if err != nil {
		return err
	}
	var module struct{ Toolchain string }
	if err := json.Unmarshal([]byte(described), &module); err != nil {
		return fmt.Errorf("read go.mod: %w", err)
	}
	if err := isPinned(runtime.Version(), module.Toolchain); err != nil {
		return err
	}
	for name, value := range map[string]string{
		"GOTOOLCHAIN": module.Toolchain, "GOFLAGS": "", "GOWORK": "off", "GOEXPERIMENT": "", "GOAMD64": "v1", "GOARM64": "v8.0", "GOFIPS140": "off",
	} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return nil
}

// isPinned fails for another Go than that of go.mod, which is only the oldest that may be used.
func isPinned(running, toolchain string) error {
	switch toolchain {
	case running:
		return nil
	case "":
		return errors.New("go.mod has no line toolchain: the release would depend on the Go of the machine")
	default:
		return fmt.Errorf("this program was built with %s, and releases are made with %s: run it with GOTOOLCHAIN=%s, as make does", running, toolchain, toolchain)
	}
}
