package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/yaml"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers"
)

type managerOptions struct {
	domain          string
	healthAddress   string
	image           string
	imagePullPolicy string
	leaderElection  bool
	leaseName       string
	metricsAddress  string
	metricsCertDir  string
	podIdentity     controllers.PodIdentity
	pprofAddress    string
	probeDefaults   string
	watchNamespaces []string
	webhookCertDir  string
	webhookPort     int
	workers         int
}

func managerCommand() *cobra.Command {
	options := managerOptions{podIdentity: controllers.ByPolicy}
	command := &cobra.Command{
		Use:   "manager",
		Short: "Run the controllers",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return runManager(command.Context(), options)
		},
	}
	flags := command.Flags()
	flags.StringVar(&options.domain, "cluster-domain", naming.DefaultDomain, "DNS domain of the Kubernetes cluster")
	flags.StringVar(&options.healthAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz")
	flags.BoolVar(&options.leaderElection, "leader-elect", true, "let one replica lead")
	flags.StringVar(&options.leaseName, "leader-elect-resource-name", "erlang-operator.erlang-operator.dev", "name of the Lease of the replica that leads, in the manager's namespace")
	flags.StringVar(&options.metricsAddress, "metrics-bind-address", ":8443", "address of the metrics, over TLS and for authorized readers; 0 for none")
	flags.StringVar(&options.metricsCertDir, "metrics-cert-dir", "", "directory with tls.crt and tls.key of the metrics (default: a self-signed certificate)")
	flags.Var(&options.podIdentity, "pod-identity", "what gives each pod its own certificate: the MutatingAdmissionPolicy of config/default (Policy), or a webhook of the manager, as config/webhook sets it up (Webhook)")
	flags.StringVar(&options.pprofAddress, "pprof-bind-address", "", "address of /debug/pprof, such as 127.0.0.1:6060 (default: none)")
	flags.StringVar(&options.probeDefaults, "probe-defaults", "", "spec.probe of the clusters that leave its fields out, as YAML or JSON")
	flags.StringVar(&options.image, "probe-image", "", "image that the probes run (default: that of the manager's own pod, which POD_NAME and POD_NAMESPACE name)")
	flags.StringVar(&options.imagePullPolicy, "probe-image-pull-policy", string(corev1.PullIfNotPresent), "pull policy of that image")
	flags.StringSliceVar(&options.watchNamespaces, "watch-namespaces", nil, "namespaces of the ErlangClusters, separated by commas; the manager then needs Roles in these alone (default: all)")
	flags.StringVar(&options.webhookCertDir, "webhook-cert-dir", "/var/run/erlang-operator/webhook", "directory with tls.crt and tls.key of the webhook")
	flags.IntVar(&options.webhookPort, "webhook-port", 9443, "port of the webhook")
	flags.IntVar(&options.workers, "workers", 4, "ErlangClusters reconciled at the same time")
	return command
}

func runManager(ctx context.Context, options managerOptions) error {
	kubeconfig, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("load the kubeconfig: %w", err)
	}
	kubeconfig.DisableCompression = true // It costs more CPU than the network of a Kubernetes cluster.
	scope, err := controllers.ScopeOf(ctx, kubeconfig, options.watchNamespaces)
	if err != nil {
		return err
	}
	mgr, err := newManager(kubeconfig, options, scope)
	if err != nil {
		return fmt.Errorf("create the manager: %w", err)
	}
	probe, err := parseProbeDefaults(options.probeDefaults)
	if err != nil {
		return err
	}
	settings := controllers.Settings{
		Image: options.image, ImagePullPolicy: corev1.PullPolicy(options.imagePullPolicy), Domain: options.domain, Probe: probe,
		PodIdentity: options.podIdentity,
	}
	if settings.Image == "" {
		pod := types.NamespacedName{Namespace: os.Getenv("POD_NAMESPACE"), Name: os.Getenv("POD_NAME")}
		if settings.Image, err = controllers.OwnImage(ctx, mgr.GetAPIReader(), pod); err != nil {
			return err
		}
	}
	if err := controllers.SetupWithManager(ctx, mgr, settings, scope); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

func newManager(kubeconfig *rest.Config, options managerOptions, scope controllers.Scope) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	if err := controllers.AddToScheme(scheme); err != nil {
		return nil, err
	}
	caches, err := controllers.CacheOptions(options.podIdentity, scope)
	if err != nil {
		return nil, err
	}
	mgr, err := ctrl.NewManager(kubeconfig, ctrl.Options{
		Scheme:                        scheme,
		Cache:                         caches,
		LeaderElection:                options.leaderElection,
		LeaderElectionID:              options.leaseName,
		LeaderElectionNamespace:       os.Getenv("POD_NAMESPACE"),
		LeaderElectionReleaseOnCancel: true, // the process ends with the manager
		HealthProbeBindAddress:        options.healthAddress,
		PprofBindAddress:              options.pprofAddress,
		Metrics: metricsserver.Options{
			BindAddress:    options.metricsAddress,
			CertDir:        options.metricsCertDir,
			SecureServing:  true,
			FilterProvider: filters.WithAuthenticationAndAuthorization,
		},
		WebhookServer: webhook.NewServer(webhook.Options{
			CertDir: options.webhookCertDir,
			Port:    options.webhookPort,
			TLSOpts: []func(*tls.Config){func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }},
		}),
		Controller: config.Controller{
			MaxConcurrentReconciles: options.workers,
			EnableWarmup:            ptr.To(true),
			ReconciliationTimeout:   2 * time.Minute,
		},
		Client: client.Options{
			FieldOwner:      controllers.FieldOwner,
			FieldValidation: "Strict",
			// ErlangClusters are read as unstructured objects.
			Cache: &client.CacheOptions{Unstructured: true, EnableReadYourWritesConsistency: ptr.To(true)},
		},
	})
	if err != nil {
		return nil, err
	}
	return mgr, mgr.AddHealthzCheck("ping", healthz.Ping)
}

// parseProbeDefaults refuses a field that spec.probe does not have: it would change nothing.
func parseProbeDefaults(text string) (v1alpha1.ProbeSpec, error) {
	var probe v1alpha1.ProbeSpec
	if err := yaml.UnmarshalStrict([]byte(text), &probe); err != nil {
		return probe, fmt.Errorf("read --probe-defaults, which must be the fields of spec.probe as YAML or JSON: %w", err)
	}
	return probe, nil
}
