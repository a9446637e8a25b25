// The operator: `manager` reconciles ErlangClusters, `probe` verifies the nodes of one of
// them, and `verify` verifies any Erlang nodes, in Kubernetes or not.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/spf13/cobra"
	"go.uber.org/zap/zapcore"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/erlang-operator/erlang-operator/probe/command"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

func main() {
	root := &cobra.Command{
		Use:           "erlang-operator",
		Short:         "Erlang clusters on Kubernetes, over mutual TLS, proven",
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRun: func(*cobra.Command, []string) {
			ctrl.SetLogger(zap.New(zap.UseDevMode(false), func(o *zap.Options) { o.TimeEncoder = zapcore.RFC3339TimeEncoder }))
		},
	}
	root.AddCommand(managerCommand(), probeCommand(), versionCommand(), command.Verify(verify.Verifier{Limits: verify.DefaultLimits()}))
	metrics.Registry.MustRegister(thisBuild().metric())
	// A container that is at its limit is killed without a trace: the collector must work
	// harder before, and leave room for the 45 MiB of the program, which the kernel would drop and
	// read again and again (docs/performance.md). GOMEMLIMIT, where it is set, has precedence; outside of a container
	// there is no limit, which is no error.
	_, _ = memlimit.Set(memlimit.WithRatio(0.75))
	err := root.ExecuteContext(ctrl.SetupSignalHandler())
	if err != nil && !errors.Is(err, command.ErrNotVerified) { // printed already, node by node
		fmt.Fprintln(os.Stderr, "erlang-operator:", err)
	}
	os.Exit(command.ExitStatus(err))
}
