// Command cert-manager-controller runs cert-manager's controllers for the
// issuer kinds CA and SelfSigned in a cluster. See package controllers for
// what it omits.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // renewal windows name time zones; the image has no files

	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/erlang-operator/erlang-operator/hack/certmanager/controllers"
)

func main() {
	var options controllers.Options
	// Packages that are imported have flags of the same names.
	flags := flag.NewFlagSet(os.Args[0], flag.ExitOnError)
	flags.StringVar(&options.Kubeconfig, "kubeconfig", "", "file to connect to the cluster with; the pod's service account by default")
	flags.StringVar(&options.ClusterResourceNamespace, "cluster-resource-namespace", "kube-system", "namespace of the Secrets of ClusterIssuers")
	flags.BoolVar(&options.EnableCertificateOwnerRef, "enable-certificate-owner-ref", false, "make each Certificate the owner of its Secret")
	_ = flags.Parse(os.Args[1:]) // exits instead

	ctrl.SetLogger(klog.Background())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := controllers.Run(ctx, options)
	stopped := errors.Is(ctx.Err(), context.Canceled)
	stop()
	if err != nil && !stopped {
		fmt.Fprintln(os.Stderr, "cert-manager-controller:", err)
		os.Exit(1)
	}
}
