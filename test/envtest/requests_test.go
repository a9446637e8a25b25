package envtest

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// maxRequests is what a cluster of three nodes may cost the API server until it is Ready: 17
	// objects, a look at Secrets and at that of the cookie, the owner of 5 Secrets,
	// for each pod a refresh and its readiness gate, and twice more the StatefulSet, which gets
	// its replicas one by one if cert-manager issues their certificates so.
	maxRequests = 32
	// maxReports is how often its status and events may be written meanwhile. That depends on
	// how much of what others do is seen at once.
	maxReports = 16
)

// A new cluster becomes Ready with few requests of the manager.
func TestRequestsOfANewCluster(t *testing.T) {
	namespace := newNamespace(t)
	m := startManager(t)
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
	t.Run("after a restart", func(t *testing.T) {
		m.stop(t)
		checkRestart(t, namespace)
	})
}

// checkRestart requires that a manager that has just started writes none of the objects that
// are as they should be, but restores the one that is not, which shows that it has looked.
func checkRestart(t *testing.T, namespace string) {
	t.Helper()
	service := &corev1.Service{ObjectMeta: named(namespace, "chat-nodes")}
	before := contentOf(t, get(t, service))
	check(t, admin.Patch(t.Context(), service, client.RawPatch(types.StrategicMergePatchType, []byte(`{"spec":{"ports":[{"name":"more","port":99}]}}`)), client.FieldOwner("kubectl-edit")))
	log := requestsOf(t, managerAccount)
	startManager(t)
	awaitContent(t, service, before)
	settle(t)
	for _, r := range must(log.next())(t) {
		isReport := slices.Contains([]string{"events", "erlangclusters"}, r.ObjectRef.Resource)
		isRead := slices.Contains([]string{"get", "list"}, r.Verb)
		if r.ObjectRef.Namespace == namespace && r.ObjectRef.Resource != "services" && !isReport && !isRead {
			t.Errorf("the manager requested: %s", r)
		}
	}
}
