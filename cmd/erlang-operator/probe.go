package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/probe"
)

func probeCommand() *cobra.Command {
	var options probe.Options
	command := &cobra.Command{
		Use:   "probe",
		Short: "Prove and heal the mesh of one ErlangCluster",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return runProbe(command.Context(), options)
		},
	}
	flags := command.Flags()
	flags.StringVar(&options.Namespace, "namespace", "", "namespace of the ErlangCluster")
	flags.StringVar(&options.Cluster, "cluster", "", "name of the ErlangCluster")
	flags.StringVar(&options.Domain, "cluster-domain", naming.DefaultDomain, "DNS domain of the Kubernetes cluster")
	flags.StringVar(&options.MetricsAddr, "metrics-bind-address", "127.0.0.1:8080", "address of the metrics, which everybody who reaches it may read; 0 for none")
	flags.StringVar(&options.HealthAddr, "health-probe-bind-address", ":8081", "address of /healthz and /readyz")
	for _, required := range []string{"namespace", "cluster"} {
		if err := command.MarkFlagRequired(required); err != nil {
			panic(err) // no such flag
		}
	}
	return command
}

func runProbe(ctx context.Context, options probe.Options) error {
	kubeconfig, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("load the kubeconfig: %w", err)
	}
	return probe.Run(ctx, kubeconfig, options)
}
