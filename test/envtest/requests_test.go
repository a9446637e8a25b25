package envtest

import (
	"slices"
	"testing"
)

const (
	// maxRequests is what a cluster of three nodes may cost the API server until it is Ready: 17
	// objects, a look at Secrets and at that of the cookie, the owner of 5 Secrets,
	// and for each pod a refresh and its readiness gate.
	maxRequests = 30
	// maxReports is how often its status and events may be written meanwhile. That depends on
	// how much of what others do is seen at once.
	maxReports = 16
)

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
	others := slices.DeleteFunc(slices.Clone(requests), func(r request) bool {
		return r.ObjectRef.Resource == "events" && r.Verb == "create" || r.ObjectRef.Resource == "erlangclusters"
	})
	if reports := len(requests) - len(others); len(others) > maxRequests || reports > maxReports {
		t.Errorf("%d requests, want at most %d, and %d reports, want at most %d:", len(others), maxRequests, reports, maxReports)
		for _, r := range requests {
			t.Log(r)
		}
	}
}
