package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
)

// The version and commit of a release, which its build sets with -ldflags=-X.
var version, commit string

// A build is what this program was made from, and by.
type build struct{ version, commit, compiler string }

// thisBuild returns the build of the running program. Without the flags of a release it is
// what the go command recorded: the version for `go install …@v0.1.0`, the commit in a
// checkout.
func thisBuild() build {
	b := build{version, commit, runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		if recorded := info.Main.Version; recorded != "(devel)" {
			b.version = cmp.Or(b.version, recorded)
		}
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				b.commit = cmp.Or(b.commit, setting.Value)
			}
		}
	}
	b.version, b.commit = cmp.Or(b.version, "dev"), cmp.Or(b.commit, "unknown")
	return b
}

func (b build) String() string {
	return fmt.Sprintf("%s, commit %s, %s %s/%s", b.version, b.commit, b.compiler, runtime.GOOS, runtime.GOARCH)
}

// metric is always 1: its labels say what runs.
func (b build) metric() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "erlang_operator_build_info",
		Help:        "The build that runs, in its labels; always 1.",
		ConstLabels: prometheus.Labels{"version": b.version, "commit": b.commit, "goversion": b.compiler},
	}, func() float64 { return 1 })
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print version, commit and compiler of this program",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(command.OutOrStdout(), "erlang-operator", thisBuild())
			return err
		},
	}
}
