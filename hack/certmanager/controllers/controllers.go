package controllers

import (
	"context"
	"fmt"

	"github.com/cert-manager/cert-manager/pkg/controller"
	"golang.org/x/sync/errgroup"

	// Controllers and issuer kinds register themselves when imported.
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/ca"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/selfsigned"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	_ "github.com/cert-manager/cert-manager/pkg/controller/clusterissuers"
	_ "github.com/cert-manager/cert-manager/pkg/controller/issuers"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/ca"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/selfsigned"
)

// Options are the settings of cert-manager's controller program that these issuers
// use.
type Options struct {
	// Kubeconfig is the path of the kubeconfig; empty means the pod's service account.
	Kubeconfig string
	// ClusterResourceNamespace holds the Secrets of ClusterIssuers.
	ClusterResourceNamespace string
	// EnableCertificateOwnerRef makes a Certificate the owner of its Secret.
	// cert-manager's default is off.
	EnableCertificateOwnerRef bool
}

// workers is the default of cert-manager's controller program.
const workers = 5

var copiedAnnotations = []string{"*", "-kubectl.kubernetes.io/", "-fluxcd.io/", "-argocd.argoproj.io/"}

// Run runs the controllers until the context ends, and returns nil then. cert-manager's
// CRDs must be established.
func Run(until context.Context, options Options) error {
	running, ctx := errgroup.WithContext(until)
	factory, err := contextFactory(ctx, options)
	if err != nil {
		return fmt.Errorf("connect cert-manager's controllers to the cluster: %w", err)
	}
	shared, err := factory.Build()
	if err != nil {
		return fmt.Errorf("set up cert-manager's controllers: %w", err)
	}
	for name, construct := range controller.Known() {
		c, err := construct(factory)
		if err != nil {
			return fmt.Errorf("set up cert-manager's controller %s: %w", name, err)
		}
		running.Go(func() error { return c.Run(workers, ctx) })
	}
	running.Go(func() error { return runCAInjector(ctx, options.Kubeconfig) })
	// Every controller has registered its informers.
	shared.SharedInformerFactory.Start(ctx.Done())
	shared.KubeSharedInformerFactory.Start(ctx.Done())
	if err := running.Wait(); until.Err() == nil {
		return err
	}
	return nil // controllers that had not started yet report that they could not
}

func contextFactory(ctx context.Context, options Options) (*controller.ContextFactory, error) {
	settings := controller.ContextOptions{
		Kubeconfig:         options.Kubeconfig,
		KubernetesAPIQPS:   20,
		KubernetesAPIBurst: 50,
		IssuerOptions: controller.IssuerOptions{
			ClusterResourceNamespace: options.ClusterResourceNamespace,
		},
		CertificateOptions: controller.CertificateOptions{
			EnableOwnerRef:           options.EnableCertificateOwnerRef,
			CopiedAnnotationPrefixes: copiedAnnotations,
		},
	}
	setRelease(&settings)
	return controller.NewContextFactory(ctx, settings)
}
