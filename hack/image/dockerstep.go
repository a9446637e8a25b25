package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/v1"
)

// configure returns the configuration of the image after a step.
func configure(config v1.Config, s step) (_ v1.Config, err error) {
	switch s.instruction {
	case "CMD":
		config.Cmd, err = parseCommand(s.arguments)
	case "ENTRYPOINT":
		config.Entrypoint, err = parseCommand(s.arguments)
		config.Cmd = nil
	case "ENV":
		config.Env = append(slices.Clip(config.Env), strings.Fields(s.arguments)...)
	case "USER":
		config.User = s.arguments
	case "WORKDIR":
		config.WorkingDir = absolute(config.WorkingDir, s.arguments)
	}
	return config, err
}

// absolute is the absolute form of a path in the image.
func absolute(dir, name string) string {
	if !path.IsAbs(name) {
		name = path.Join("/", dir, name) + strings.Repeat("/", len(name)-len(strings.TrimRight(name, "/")))
	}
	return name
}

// do changes the files of a stage as a step says.
func (b *build) do(ctx context.Context, s step, config v1.Config, rootfs string) error {
	switch s.instruction {
	case "WORKDIR":
		return os.MkdirAll(filepath.Join(rootfs, config.WorkingDir), 0o755)
	case "RUN":
		return chroot(ctx, rootfs, config, s.arguments)
	case "COPY":
		c, err := parseCopy(s.arguments)
		if err != nil {
			return err
		}
		return b.copy(ctx, c, filepath.Clean(rootfs)+absolute(config.WorkingDir, c.target))
	}
	return nil
}

// copy copies as COPY does: the content of directories, and files into directories.
func (b *build) copy(ctx context.Context, c copied, target string) error {
	root, owner := b.context, "0"
	if c.from != "" {
		from := b.stages[c.from]
		if err := from.make(ctx); err != nil {
			return err
		}
		root = from.rootfs
	}
	if c.owner != "" {
		owner = c.owner
	}
	const script = `set -e; mkdir -p "$2"
		name=.; [ -d "$1" ] || { name=${1##*/}; set -- "${1%/*}" "$2" "$3"; }
		tar -C "$1" --numeric-owner --owner="$3" --group="$3" -cf - "$name" | tar -C "$2" -xpf -`
	for _, source := range c.sources {
		if err := command(ctx, "sh", "-c", script, "copy", filepath.Join(root, source), target, owner); err != nil {
			return err
		}
	}
	return nil
}

// chroot runs a line of shell in a root file system, in namespaces of its own, so that
// its children and its mounts end when it or this program is killed.
func chroot(ctx context.Context, rootfs string, config v1.Config, line string) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	progress("  %s", line)
	const script = `set -e
		mount --make-rprivate /; mount -t proc proc "$1/proc"
		touch "$1/etc/resolv.conf"; mount --bind /etc/resolv.conf "$1/etc/resolv.conf"
		exec chroot ${2:+--userspec="$2"} "$1" /bin/sh -ec "cd '${3:-/}'; $4"`
	cmd := exec.CommandContext(ctx, "sh", "-c", script, "chroot", rootfs, config.User, config.WorkingDir, line)
	cmd.Env = append([]string{"HOME=/root", "DEBIAN_FRONTEND=noninteractive"}, config.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL, // when the parent thread ends
	}
	return execute(cmd)
}

func command(ctx context.Context, name string, arguments ...string) error {
	return execute(exec.CommandContext(ctx, name, arguments...))
}

// execute runs a command. The end of what it prints becomes a part of its error.
func execute(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		err = fmt.Errorf("%s: %w:\n%s", strings.Join(cmd.Args, " "), err, strings.Join(lines[max(0, len(lines)-20):], "\n"))
	}
	return err
}
