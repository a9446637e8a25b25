package main

import (
	"context"
	"os/exec"
	"slices"
	"strings"

	"github.com/erlang-operator/erlang-operator/hack/apt"
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
	say("        installing Debian packages: %s", strings.Join(missing, " "))
	defer sayWhileWaiting("still installing packages")()
	return apt.Install(ctx, missing...)
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
