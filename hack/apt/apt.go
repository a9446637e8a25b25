// Package apt installs Debian packages on this machine.
package apt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/erlang-operator/erlang-operator/hack/retry"
)

// Install installs packages. What fails for want of a server, or of the right package lists, is tried again.
func Install(ctx context.Context, packages ...string) error {
	names := strings.Join(packages, " ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("this machine has no apt-get: install %s with its package manager", names)
	}
	install := func() error {
		return get(ctx, append([]string{"install", "-y", "--no-install-recommends"}, packages...)...)
	}
	if install() == nil {
		return nil
	}
	return retry.Do(ctx, "install "+names, func() error {
		// The package lists may be missing or out of date. It does not matter if other lists cannot be downloaded.
		updated := get(ctx, "update")
		if err := install(); err != nil {
			return errors.Join(updated, err)
		}
		return nil
	})
}

// get runs apt-get, which waits for another one to end: some machines install updates when they have started.
func get(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-q", "-o", "DPkg::Lock::Timeout=300"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get %s: %w:\n%s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
