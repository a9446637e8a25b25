// Package gobuild builds static Go programs that depend only on their sources and the
// compiler: the programs of images and releases, and the operator's Dockerfile, are built
// with the same flags.
package gobuild

import (
	"context"
	"fmt"
	"os"
	"os/exec"

	"github.com/google/go-containerregistry/pkg/v1"
)

// Flags make a program independent of where it is built, and small.
var Flags = []string{"-trimpath", "-buildvcs=false"}

// LinkerFlags leave out the symbols that only a debugger reads.
const LinkerFlags = "-s -w"

// Repository is where the images of the operator are.
const Repository = "ghcr.io/erlang-operator/erlang-operator"

// ImageConfig is the configuration of an image that has only a program, by its name at the
// root: it runs as the user without privileges that is usual in such images.
func ImageConfig(program string, labels map[string]string) v1.Config {
	return v1.Config{Entrypoint: []string{"/" + program}, User: "65532:65532", WorkingDir: "/", Labels: labels}
}

// A Program is what is built, and for which platform.
type Program struct {
	// Dir is a directory of the program's module, and Package its package relative to that.
	Dir, Package string
	// OS and Architecture are those of the go command.
	OS, Architecture string
	// Variables are set by the linker: main.version=v1.
	Variables []string
}

// Build builds the program into a file.
func (p Program) Build(ctx context.Context, file string) error {
	linker := LinkerFlags
	for _, variable := range p.Variables {
		linker += " -X " + variable
	}
	cmd := exec.CommandContext(ctx, "go", append(append([]string{"build"}, Flags...), "-ldflags="+linker, "-o", file, p.Package)...)
	cmd.Dir = p.Dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.OS, "GOARCH="+p.Architecture)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s in %s for %s/%s: %w", p.Package, p.Dir, p.OS, p.Architecture, err)
	}
	return nil
}
