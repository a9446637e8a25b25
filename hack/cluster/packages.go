package main

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// fromDebian are files that the cluster needs and the packages that contain them.
var fromDebian = []struct{ file, pkg string }{
	{"runc", "runc"},
	{"/usr/lib/cni/ptp", "containernetworking-plugins"},
	{"nft", "nftables"},
	{"iptables", "iptables"}, // for the portmap plugin
	{"ip", "iproute2"},
	{"sysctl", "procps"},
	{"hostname", "hostname"},
	{"mount", "mount"},
	{"nsenter", "util-linux"},
}

// ensurePackages installs missing packages.
func ensurePackages(ctx context.Context) error {
	missing := missingPackages()
	if len(missing) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("install %s: this machine has no apt-get; install them with its package manager", strings.Join(missing, ", "))
	}
	say("        installing Debian packages: %s", strings.Join(missing, " "))
	defer sayWhileWaiting("still installing packages")()
	if install(ctx, missing) == nil {
		return nil
	}
	// The package lists may be missing or out of date.
	if _, err := output(ctx, "apt-get", "update", "-q"); err != nil {
		return err
	}
	return install(ctx, missing)
}

func install(ctx context.Context, packages []string) error {
	args := []string{"env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-q", "-y", "--no-install-recommends"}
	_, err := output(ctx, append(args, packages...)...)
	return err
}

func missingPackages() []string {
	var missing []string
	for _, need := range fromDebian {
		if _, err := exec.LookPath(need.file); err != nil && !slices.Contains(missing, need.pkg) {
			missing = append(missing, need.pkg)
		}
	}
	return missing
}
