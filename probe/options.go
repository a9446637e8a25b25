package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

// Options of the probe of one cluster. What is zero gets its default, except for
// Namespace and Cluster, which must be set.
type Options struct {
	// Namespace and Cluster name the ErlangCluster.
	Namespace, Cluster string
	// Domain is the DNS domain of the Kubernetes cluster. Default: cluster.local.
	Domain string
	// Identity names this probe among those of the cluster. Default: the name of the host,
	// which is that of the pod. Two processes never have the same at a time.
	Identity string
	// Intervals between sweeps.
	Intervals Intervals
	// HealingTime is the time after which a sweep begins no further link: verdicts must
	// not wait for links that take long to fail. Default: 5 s.
	HealingTime time.Duration
	// Concurrency is the number of nodes that are spoken to at a time. Default: 16.
	Concurrency int
	// Limits of the stages. Default: verify.DefaultLimits.
	Limits verify.Limits
	// Resolve and DialContext are how the nodes are found and reached.
	// Default: DNS, by full names, and TCP.
	Resolve     func(ctx context.Context, host string) ([]string, error)
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// MetricsAddr is where metrics are served; "0" is nowhere. Default: "127.0.0.1:8080", for who may forward
	// a port of the pod: nobody is authenticated.
	MetricsAddr string
	// HealthAddr is where /healthz and /readyz are served. Default: ":8081".
	HealthAddr string
}

func (o Options) withDefaults() (Options, error) {
	if o.Namespace == "" || o.Cluster == "" {
		return o, errors.New("the namespace and the name of the ErlangCluster must be given")
	}
	o.Domain = cmp.Or(o.Domain, naming.DefaultDomain)
	if o.Identity == "" {
		host, err := os.Hostname()
		if err != nil {
			return o, fmt.Errorf("name the probe: %w", err)
		}
		o.Identity = host
	}
	o.Intervals = o.Intervals.withDefaults()
	o.HealingTime = cmp.Or(o.HealingTime, 5*time.Second)
	o.Concurrency = cmp.Or(o.Concurrency, 16)
	o.Limits = cmp.Or(o.Limits, verify.DefaultLimits())
	o.MetricsAddr = cmp.Or(o.MetricsAddr, "127.0.0.1:8080")
	o.HealthAddr = cmp.Or(o.HealthAddr, ":8081")
	return o, nil
}
