package envtest

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// atomicFields has, in all kinds of fields that are applied as a whole, what the API server sets itself
// to its defaults.
const atomicFields = `
spec:
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1024Mi}}}
  template:
    spec:
      containers:
      - name: chat
        image: example.com/chat:1.4.2
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
        env:
        - {name: A, valueFrom: {configMapKeyRef: {name: c, key: k}}}
        - {name: B, valueFrom: {secretKeyRef: {name: c, key: k}}}
        - {name: C, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
        - {name: D, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}
        - {name: E, valueFrom: {fileKeyRef: {volumeName: scratch, path: a, key: k}}}
        envFrom: [{configMapRef: {name: c}}, {secretRef: {name: c}}]
        lifecycle: {preStop: {httpGet: {port: 80, httpHeaders: [{name: A, value: a}]}}}
        ports: [{containerPort: 80}]
        resizePolicy: [{resourceName: cpu, restartPolicy: NotRequired}]
        resources: {limits: {cpu: 1000m, memory: 1024Mi}}
        volumeMounts: [{name: data, mountPath: /data}]
      dnsConfig: {nameservers: [192.0.2.1], options: [{name: ndots}]}
      readinessGates: [{conditionType: example.com/gate}]
      tolerations: [{key: a, value: b}]
      topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {a: b}}}]
      volumes:
      - {name: scratch, emptyDir: {}}
      - {name: config, configMap: {name: c, items: [{key: k, path: p}]}}
      - {name: secret, secret: {secretName: c, items: [{key: k, path: p}]}}
      - {name: fields, downwardAPI: {items: [{path: a, fieldRef: {fieldPath: metadata.name}}, {path: b, resourceFieldRef: {resource: limits.cpu, containerName: chat}}]}}
      - {name: ephemeral, ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}}}
      - name: projected
        projected:
          sources:
          - {serviceAccountToken: {path: t}}
          - {configMap: {name: c, items: [{key: k, path: p}]}}
          - {secret: {name: c}}
          - {downwardAPI: {items: [{path: a, fieldRef: {fieldPath: metadata.name}}, {path: b, resourceFieldRef: {resource: limits.cpu, containerName: chat}}]}}
          - {podCertificate: {signerName: example.com/signer, keyType: ED25519, credentialBundlePath: bundle}}
          - {clusterTrustBundle: {name: a, path: trust}}
`

// maxWrites is how often the manager may write an object of a cluster of three nodes until it is
// Ready. What it creates it writes once; what it changes once more if its cache is late.
func maxWrites(resource string, issuedTwice bool) int {
	switch resource {
	case "secrets": // their owner
		return 2
	case "pods": // a refresh, and the readiness gate
		return 2 * 2
	case "statefulsets": // It gets its replicas one by one if cert-manager issues their certificates so.
		return 3 * 2
	case "configmaps": // Trust is widened and shrunk.
		if issuedTwice {
			return 3
		}
	}
	return 1
}

// A new cluster becomes Ready with few writes of the manager. How often it reads, and reports what
// others do, depends on how much of that it sees at once.
func TestRequestsOfANewCluster(t *testing.T) {
	namespace := newNamespace(t)
	m := startManager(t)
	settle(t)
	log := requestsOf(t, managerAccount)
	create(t, object(t, namespace, minimal))
	pods := startPods(t, awaitStatefulSet(t, namespace, 3), 0, 3)
	startProbe(t, namespace).becomeReady(t, pods)
	settle(t)
	requests := must(log.next())(t)
	writes := writesIn(namespace, requests)
	issuedTwice := *get(t, certificate(namespace, "chat-ca")).Status.Revision > 1
	for object, times := range writes {
		resource, _, _ := strings.Cut(object, "/")
		if most := maxWrites(resource, issuedTwice); times > most {
			t.Errorf("%s is written %d times, want at most %d", object, times, most)
		}
	}
	if t.Logf("%d requests, objects written: %v", len(requests), writes); t.Failed() || len(writes) < 20 {
		t.Errorf("%d objects are written:", len(writes))
		for _, r := range requests {
			t.Log(r)
		}
	}
	t.Run("after a restart", func(t *testing.T) {
		m.stop(t)
		set := awaitStatefulSet(t, namespace, 3)
		check(t, admin.SubResource("scale").Update(t.Context(), set, client.WithSubResourceBody(&autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: 4}}), client.FieldOwner("autoscaler")))
		checkRestart(t, namespace, "statefulsets/chat")
	})
}

// A manager that has just started knows a StatefulSet for what it has applied, whatever the API
// server has added to it.
func TestDefaultsAreNotAppliedAgain(t *testing.T) {
	if !served.PodCertificates {
		t.Skip("this Kubernetes does not have all of the fields")
	}
	namespace := newNamespace(t)
	m := startManager(t)
	create(t, merged(t, object(t, namespace, minimal), atomicFields))
	awaitStatefulSet(t, namespace, 3)
	awaitCondition(t, namespace, v1alpha1.ConditionCredentialsReady, metav1.ConditionTrue, v1alpha1.ReasonCertificatesIssued)
	settle(t)
	m.stop(t)
	checkRestart(t, namespace)
}

// checkRestart requires that a manager that has just started writes none of the objects that
// are as they should be, but restores those that are not, which shows that it has looked: a
// Service, a Role, and those that were edited before.
func checkRestart(t *testing.T, namespace string, edited ...string) {
	t.Helper()
	service, role := &corev1.Service{ObjectMeta: named(namespace, "chat-nodes")}, &rbacv1.Role{ObjectMeta: named(namespace, "chat-probe")}
	before, labels := contentOf(t, get(t, service)), get(t, role).Labels
	check(t, admin.Patch(t.Context(), service, client.RawPatch(types.StrategicMergePatchType, []byte(`{"spec":{"ports":[{"name":"more","port":99}]}}`)), client.FieldOwner("kubectl-edit")))
	check(t, admin.Patch(t.Context(), role, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"app.kubernetes.io/managed-by":"me"}}}`)), client.FieldOwner("kubectl-label")))
	log := requestsOf(t, managerAccount)
	startManager(t)
	awaitContent(t, service, before)
	awaitStatefulSet(t, namespace, 3)
	settle(t)
	if diff := cmp.Diff(labels, get(t, role).Labels); diff != "" {
		t.Errorf("the labels of the Role (-before +after):\n%s", diff)
	}
	want := append([]string{"roles/chat-probe", "services/chat-nodes"}, edited...)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(writesIn(namespace, must(log.next())(t))))); diff != "" {
		t.Errorf("the manager wrote (-want +got):\n%s", diff)
	}
}

// writesIn is how often each object of a namespace was written, but for reports, the status of the
// cluster, and events. The status of a Certificate counts by itself: it is written once for each time that
// cert-manager could not issue it. A conflict tells the manager that what it creates is there already,
// which its cache did not have yet. Then it applies it once more.
func writesIn(namespace string, requests []request) map[string]int {
	writes := map[string]int{}
	for _, r := range requests {
		object := r.ObjectRef.Resource + "/" + r.ObjectRef.Name
		isReport := slices.Contains([]string{"events", "erlangclusters"}, r.ObjectRef.Resource)
		if r.ObjectRef.Resource == "certificates" && r.ObjectRef.Subresource == "status" {
			object = "certificates/status/" + r.ObjectRef.Name
		}
		switch isRead := slices.Contains([]string{"get", "list"}, r.Verb); {
		case r.ObjectRef.Namespace != namespace || isReport || isRead:
		case r.ResponseStatus.Code == http.StatusConflict:
			writes[object]--
		default:
			writes[object]++
		}
	}
	return writes
}
