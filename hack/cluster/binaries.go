package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/erlang-operator/erlang-operator/hack/cache"
)

// A source is a Go module in a directory of hack that pins the modules from which
// programs are built.
type source struct {
	dir    string
	module string // the module whose version the programs have
	// stamp returns the linker flags that set the programs' version.
	stamp func(version string) string
}

var (
	kubernetes = source{"kubernetes", "k8s.io/kubernetes", stampKubernetes}
	etcd       = source{"etcd", "go.etcd.io/etcd/server/v3", nil}
	containerd = source{"containerd", "github.com/containerd/containerd/v2", nil}
)

// A program is built from one package of a source.
type program struct {
	source  source
	pkg     string
	minutes string // how long the build takes at most, on two cores
}

var programs = map[string]program{
	"etcd":                    {etcd, "go.etcd.io/etcd/server/v3", "1"},
	"kube-apiserver":          {kubernetes, "k8s.io/kubernetes/cmd/kube-apiserver", "4"},
	"kube-controller-manager": {kubernetes, "k8s.io/kubernetes/cmd/kube-controller-manager", "2"},
	"kube-scheduler":          {kubernetes, "k8s.io/kubernetes/cmd/kube-scheduler", "1"},
	"kubelet":                 {kubernetes, "k8s.io/kubernetes/cmd/kubelet", "2"},
	"kube-proxy":              {kubernetes, "k8s.io/kubernetes/cmd/kube-proxy", "1"},
	"kubectl":                 {kubernetes, "k8s.io/kubernetes/cmd/kubectl", "1"},
	"containerd":              {containerd, "github.com/containerd/containerd/v2/cmd/containerd", "1"},
	"containerd-shim-runc-v2": {containerd, "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2", "1"},
	"ctr":                     {containerd, "github.com/containerd/containerd/v2/cmd/ctr", "1"},
}

// binDir is the directory of links to the programs of the pinned versions. down keeps
// it, because tests that need only an API server use it as well.
func (c *cluster) binDir() string { return c.path("bin", c.kubernetes) }

// pins is the directory of the module that pins a source.
func (c *cluster) pins(s source) string {
	if s.dir == kubernetes.dir {
		return filepath.Join(c.checkout, "hack", s.dir, c.kubernetes)
	}
	return filepath.Join(c.checkout, "hack", s.dir)
}

func (c *cluster) bin(name string) string { return filepath.Join(c.binDir(), name) }

// build builds the named programs, or all, and prints their directory.
func (c *cluster) build(ctx context.Context, names []string) error {
	if err := c.buildPrograms(ctx, names...); err != nil {
		return err
	}
	fmt.Println(c.binDir())
	return nil
}

func (c *cluster) buildPrograms(ctx context.Context, names ...string) error {
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(programs))
	}
	for _, name := range names {
		p, ok := programs[name]
		if !ok {
			return fmt.Errorf("unknown program %q; choose from %s", name, strings.Join(slices.Sorted(maps.Keys(programs)), ", "))
		}
		built, err := c.buildProgram(ctx, name, p)
		if err != nil {
			return err
		}
		if err := link(built, c.bin(name)); err != nil {
			return err
		}
	}
	return nil
}

// buildProgram returns the path of the cached program of the pinned version, which it
// builds if necessary.
func (c *cluster) buildProgram(ctx context.Context, name string, p program) (string, error) {
	dir := c.pins(p.source)
	version, err := pinnedVersion(ctx, dir, p.source.module)
	if err != nil {
		return "", err
	}
	file := filepath.Join(c.cache, p.source.dir, version, name)
	return file, cache.Once(file, func(tmp string) error {
		say("        building %s %s (only once; up to %s min on two cores)", name, version, p.minutes)
		defer sayWhileWaiting("still building " + name)()
		flags := "-s -w"
		if p.source.stamp != nil {
			flags += " " + p.source.stamp(version)
		}
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", flags, "-o", tmp, p.pkg)
		cmd.Dir = dir
		// Static programs, without a C compiler and regardless of the developer's
		// workspace.
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
		_, err := outputOf(cmd)
		return err
	})
}

// pinnedVersion reads the version of a module from the go.mod in dir.
func pinnedVersion(ctx context.Context, dir, module string) (string, error) {
	text, err := output(ctx, "go", "mod", "edit", "-json", filepath.Join(dir, "go.mod"))
	if err != nil {
		return "", err
	}
	var mod struct {
		Require []struct{ Path, Version string }
	}
	if err := json.Unmarshal([]byte(text), &mod); err != nil {
		return "", fmt.Errorf("read %s/go.mod: %w", dir, err)
	}
	for _, required := range mod.Require {
		if required.Path == module {
			return required.Version, nil
		}
	}
	return "", fmt.Errorf("%s/go.mod does not require %s", dir, module)
}

// stampKubernetes sets the version like a release build. Otherwise it is v0.0.0, and
// clients refuse to use features of newer versions.
func stampKubernetes(version string) string {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	var flags []string
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		flags = append(flags,
			"-X "+pkg+".gitVersion="+version,
			"-X "+pkg+".gitMajor="+parts[0],
			"-X "+pkg+".gitMinor="+parts[1])
	}
	return strings.Join(flags, " ")
}

// link makes a symbolic link, in one step: another process may make or read the same one.
func link(target, name string) error {
	if current, err := os.Readlink(name); err == nil && current == target {
		return nil
	}
	if err := os.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	made := fmt.Sprintf("%s.%d", name, os.Getpid())
	if err := os.Remove(made); err != nil && !os.IsNotExist(err) { // of a process that was killed
		return err
	}
	if err := os.Symlink(target, made); err != nil {
		return err
	}
	return os.Rename(made, name)
}
