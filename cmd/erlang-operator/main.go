// The operator: `manager` makes ErlangClusters true, `probe` proves one of them.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"go.uber.org/zap/zapcore"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
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
	root.AddCommand(managerCommand(), probeCommand())
	if err := root.ExecuteContext(ctrl.SetupSignalHandler()); err != nil {
		fmt.Fprintln(os.Stderr, "erlang-operator:", err)
		os.Exit(1)
	}
}
