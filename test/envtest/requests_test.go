package envtest

import (
	"slices"
	"testing"
)

// maxRequests is what a cluster of three nodes may cost the API server until it is Ready: 17
// objects, a look at the Secrets of 5 Certificates and at the cookie's, the owner of those 5,
// for each pod a refresh and its readiness gate, and 4 times status and event.
const maxRequests = 42

// A new cluster becomes Ready with few requests of the manager.
func TestRequestsOfANewCluster(t *testing.T) {
	namespace := newNamespace(t)
	startManager(t)
	settle(t)
	log := requestsOf(t, managerAccount)
	create(t, object(t, namespace, minimal))
	pods := startPods(t, awaitStatefulSet(t, namespace, 3), 0, 3)
	startProbe(t, namespace).report(t, wholeMesh(namespace, pods))
	awaitReady(t, namespace)
	settle(t)
	requests := slices.DeleteFunc(must(log.next())(t), func(r request) bool { return r.ObjectRef.Namespace != namespace })
	if len(requests) > maxRequests {
		t.Errorf("%d requests, want at most %d:", len(requests), maxRequests)
	}
	for _, r := range requests {
		t.Log(r)
	}
}
