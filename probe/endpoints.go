package probe

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/erlang-operator/erlang-operator/certs/naming"
)

// dnsDelay is how long DNS may take to have what an EndpointSlice has: both watch the same.
const dnsDelay = 250 * time.Millisecond

// startingTime is how long a node is likely to take until it listens, from when its pod got an
// address.
const startingTime = 2 * time.Second

// endpoints are the addresses of pods that the EndpointSlices of the Service have, which DNS serves.
type endpoints struct {
	slices  client.Reader
	service client.ObjectKey
	since   sightings
}

// sightings are when endpoints were seen first.
type sightings map[endpoint]time.Time

type endpoint struct{ pod, address string }

// endpointsOf are those in some EndpointSlices, and whether their pods are Ready.
func endpointsOf(slices ...discoveryv1.EndpointSlice) map[endpoint]bool {
	found := map[endpoint]bool{}
	for _, slice := range slices {
		for _, each := range slice.Endpoints {
			for _, address := range each.Addresses {
				if each.Hostname != nil {
					found[endpoint{*each.Hostname, address}] = ptr.Deref(each.Conditions.Serving, true)
				}
			}
		}
	}
	return found
}

// read reads which there are now; nil where nodes are not found by DNS.
func (e *endpoints) read(ctx context.Context) (published sightings, err error) {
	if e == nil {
		return nil, nil
	}
	var list discoveryv1.EndpointSliceList
	if err := e.slices.List(ctx, &list, client.InNamespace(e.service.Namespace)); err != nil {
		return nil, fmt.Errorf("read the EndpointSlices of Service %s: %w", e.service.Name, err)
	}
	now, since := time.Now(), sightings{}
	for found := range endpointsOf(list.Items...) {
		since[found] = now
		if seen, ok := e.since[found]; ok {
			since[found] = seen
		}
	}
	e.since = since
	return since, nil
}

// addresses are those of a host.
func (s sightings) addresses(host string) (addresses []string) {
	pod, _, _ := strings.Cut(host, ".")
	for each := range s {
		if each.pod == pod {
			addresses = append(addresses, each.address)
		}
	}
	return addresses
}

// awaitDNS waits until DNS is likely to have the addresses of a host, and reports whether there
// are any.
func (s sightings) awaitDNS(ctx context.Context, host string) bool {
	pod, _, _ := strings.Cut(host, ".")
	latest, found := s.latest(pod)
	if wait := dnsDelay - time.Since(latest); found && wait > 0 {
		select {
		case <-ctx.Done():
		case <-time.After(wait): // DNS does not announce it, and remembers a question that came too early.
		}
	}
	return found
}

// startingUntil is when a pod has had its address for so long that its node should listen.
func (s sightings) startingUntil(pod string) time.Time {
	latest, found := s.latest(pod)
	if !found {
		return time.Time{}
	}
	return latest.Add(startingTime)
}

// latest is when the last of the addresses of a pod was seen first.
func (s sightings) latest(pod string) (latest time.Time, found bool) {
	for each, since := range s {
		if each.pod == pod {
			found = true
			if since.After(latest) {
				latest = since
			}
		}
	}
	return latest, found
}

// watchEndpoints has the cluster reconciled when a pod gets an address, or another one, and when
// it is no longer Ready or is so again: a node that restarts is to be linked soon. A pod that
// starts for the first time is Ready only when its node is linked.
func watchEndpoints(manager ctrl.Manager, config *rest.Config, build *builder.Builder, names naming.Names, request reconcile.Request) (*endpoints, error) {
	options := cache.Options{
		Scheme:               manager.GetScheme(),
		Mapper:               manager.GetRESTMapper(),
		HTTPClient:           manager.GetHTTPClient(),
		DefaultNamespaces:    map[string]cache.Config{names.Namespace: {}},
		DefaultLabelSelector: labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: names.Service()}),
		DefaultTransform:     cache.TransformStripManagedFields(),
	}
	objects, err := cache.New(config, options)
	if err != nil {
		return nil, err
	}
	if err := manager.Add(objects); err != nil {
		return nil, err
	}
	enqueue := handler.TypedEnqueueRequestsFromMapFunc(func(context.Context, *discoveryv1.EndpointSlice) []reconcile.Request {
		return []reconcile.Request{request}
	})
	changed := predicate.TypedFuncs[*discoveryv1.EndpointSlice]{
		UpdateFunc: func(e event.TypedUpdateEvent[*discoveryv1.EndpointSlice]) bool {
			return !maps.Equal(endpointsOf(*e.ObjectOld), endpointsOf(*e.ObjectNew))
		},
	}
	build.WatchesRawSource(source.Kind(objects, &discoveryv1.EndpointSlice{}, enqueue, changed))
	return &endpoints{slices: objects, service: client.ObjectKey{Namespace: names.Namespace, Name: names.Service()}}, nil
}
