package probe

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/google/go-cmp/cmp"
)

func sliceOf(pod string, addresses ...string) discoveryv1.EndpointSlice {
	return discoveryv1.EndpointSlice{Endpoints: []discoveryv1.Endpoint{{Hostname: ptr.To(pod), Addresses: addresses}}}
}

// TestEndpoints: those of both address families count, whether their pods are Ready or not, and
// those without a name of their own do not.
func TestEndpoints(t *testing.T) {
	nameless := sliceOf("", "10.0.0.3")
	nameless.Endpoints[0].Hostname = nil
	starting := sliceOf("chat-1", "10.0.0.2")
	starting.Endpoints[0].Conditions.Serving = ptr.To(false)
	got := endpointsOf(sliceOf("chat-0", "10.0.0.1"), sliceOf("chat-0", "fd00::1"), starting, nameless)
	want := map[endpoint]bool{{"chat-0", "10.0.0.1"}: true, {"chat-0", "fd00::1"}: true, {"chat-1", "10.0.0.2"}: false}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(endpoint{})); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
}

// TestDNSIsAwaited: a host is waited for while it has just got an address, or another one, and
// neither without one nor later.
func TestDNSIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		seen := sightings{
			{"chat-0", "10.0.0.1"}: now.Add(-time.Hour),
			{"chat-1", "10.0.0.2"}: now.Add(-time.Hour), {"chat-1", "10.0.0.3"}: now,
		}
		for _, tc := range []struct {
			host      string
			published bool
			waited    time.Duration
		}{
			{"chat-0.chat-nodes.shop.svc", true, 0},
			{"chat-2.chat-nodes.shop.svc", false, 0},
			{"chat-1.chat-nodes.shop.svc", true, dnsDelay},
		} {
			if got := seen.awaitDNS(t.Context(), tc.host); got != tc.published || time.Since(now) != tc.waited {
				t.Errorf("%s is published: %t, after %s; want %t, after %s", tc.host, got, time.Since(now), tc.published, tc.waited)
			}
		}
	})
}

// TestSightings: an endpoint keeps the time when it was seen first for as long as it is there, and
// gets another one when it has vanished meanwhile.
func TestSightings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		first, second := endpoint{"chat-0", "10.0.0.1"}, endpoint{"chat-1", "10.0.0.2"}
		e := endpoints{service: client.ObjectKey{Namespace: "shop", Name: "chat-nodes"}}
		for i, step := range []struct {
			slices []discoveryv1.EndpointSlice
			want   sightings
		}{
			{nil, sightings{}},
			{[]discoveryv1.EndpointSlice{sliceOf("chat-0", "10.0.0.1")}, sightings{first: start.Add(time.Minute)}},
			{[]discoveryv1.EndpointSlice{sliceOf("chat-0", "10.0.0.1"), sliceOf("chat-1", "10.0.0.2")}, sightings{first: start.Add(time.Minute), second: start.Add(2 * time.Minute)}},
			{[]discoveryv1.EndpointSlice{sliceOf("chat-1", "10.0.0.2")}, sightings{second: start.Add(2 * time.Minute)}},
			{[]discoveryv1.EndpointSlice{sliceOf("chat-0", "10.0.0.1"), sliceOf("chat-1", "10.0.0.2")}, sightings{first: start.Add(4 * time.Minute), second: start.Add(2 * time.Minute)}},
		} {
			e.slices = listed(step.slices)
			since, err := e.read(t.Context())
			if diff := cmp.Diff(step.want, since, cmp.AllowUnexported(endpoint{})); err != nil || diff != "" {
				t.Errorf("step %d: %v, sightings (-want +got):\n%s", i, err, diff)
			}
			if got, want := since.startingUntil("chat-0"), step.want[first]; got.IsZero() != want.IsZero() || !want.IsZero() && !got.Equal(want.Add(startingTime)) {
				t.Errorf("step %d: chat-0 is starting until %s", i, got)
			}
			if _, want := step.want[first]; since.awaitDNS(t.Context(), "chat-0.chat-nodes.shop.svc") != want {
				t.Errorf("step %d: chat-0 is published: %t", i, !want)
			}
			time.Sleep(time.Until(start.Add(time.Duration(i+1) * time.Minute)))
		}
	})
}

// listed are EndpointSlices in a cache.
type listed []discoveryv1.EndpointSlice

func (l listed) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return errors.ErrUnsupported
}

func (l listed) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	list.(*discoveryv1.EndpointSliceList).Items = l
	return nil
}
