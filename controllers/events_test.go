package controllers

import (
	"context"
	"testing"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// A delayed queue records after how long each cluster is to be reconciled.
type delayed struct {
	requests
	after map[string]time.Duration
}

func newDelayed() *delayed {
	return &delayed{requests: workqueue.NewTypedRateLimitingQueue(retries()), after: map[string]time.Duration{}}
}

func (d *delayed) AddAfter(request reconcile.Request, after time.Duration) {
	d.after[request.Name] = after
}

// What a cluster waits for has it reconciled at once, and what is only to be reported or restored later.
func TestEventsOfObjects(t *testing.T) {
	of := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Labels: map[string]string{"erlang-operator.dev/cluster": name}}
	}
	secret := func(key, value string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: of("chat"), Data: map[string][]byte{key: []byte(value)}}
	}
	adopted := secret("tls.crt", "1")
	adopted.OwnerReferences = []metav1.OwnerReference{{Name: "chat"}}
	set := func(revision string, ready int32) *appsv1.StatefulSet {
		return &appsv1.StatefulSet{ObjectMeta: of("chat"), Status: appsv1.StatefulSetStatus{UpdateRevision: revision, ReadyReplicas: ready}}
	}
	certificate := func(generation int64) *certmanager.Certificate {
		return &certmanager.Certificate{ObjectMeta: metav1.ObjectMeta{Labels: of("chat").Labels, Generation: generation}}
	}
	type after = map[string]time.Duration
	soon, later := after{"chat": stepInterval}, after{"chat": progressInterval}
	for name, test := range map[string]struct {
		before, now client.Object
		want        after
	}{
		"a certificate is issued":             {nil, secret("tls.crt", "1"), soon},
		"a certificate is renewed":            {secret("tls.crt", "1"), secret("tls.crt", "2"), soon},
		"a Secret gets an owner":              {secret("tls.crt", "1"), adopted, later},
		"a Secret is deleted":                 {secret("tls.crt", "1"), nil, soon},
		"the cookie is created":               {nil, secret("cookie", "1"), later},
		"the cookie is edited":                {secret("cookie", "1"), secret("cookie", "2"), soon},
		"the trust bundle is created":         {nil, &corev1.ConfigMap{ObjectMeta: of("chat")}, soon},
		"a Certificate is reported":           {certificate(1), certificate(1), later},
		"a Certificate is edited":             {certificate(1), certificate(2), soon},
		"a Role is edited":                    {&rbacv1.Role{ObjectMeta: of("chat")}, &rbacv1.Role{ObjectMeta: of("chat")}, soon},
		"a Certificate is deleted":            {&certmanager.Certificate{ObjectMeta: of("chat")}, nil, soon},
		"a Service gets the label of another": {&corev1.Service{ObjectMeta: of("chat")}, &corev1.Service{ObjectMeta: of("pay")}, after{"chat": stepInterval, "pay": stepInterval}},
		"a pod is created":                    {nil, &corev1.Pod{ObjectMeta: of("chat")}, later},
		"a pod changes":                       {&corev1.Pod{ObjectMeta: of("chat")}, &corev1.Pod{ObjectMeta: of("chat")}, soon},
		"a StatefulSet is created":            {nil, set("", 0), later},
		"a StatefulSet has another template":  {set("a", 3), set("b", 3), soon},
		"a StatefulSet counts its pods":       {set("a", 2), set("a", 3), later},
		"a Secret of nobody's has no cluster": {nil, &corev1.Secret{}, after{}},
	} {
		t.Run(name, func(t *testing.T) {
			queue := newDelayed()
			defer queue.ShutDown()
			switch ctx := context.Background(); {
			case test.before == nil:
				onOwned().Create(ctx, event.CreateEvent{Object: test.now}, queue)
			case test.now == nil:
				onOwned().Delete(ctx, event.DeleteEvent{Object: test.before}, queue)
			default:
				onOwned().Update(ctx, event.UpdateEvent{ObjectOld: test.before, ObjectNew: test.now}, queue)
			}
			if diff := cmp.Diff(test.want, queue.after); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What the manager reports of a cluster does not have it reconciled at once, and everything else does.
func TestEventsOfClusters(t *testing.T) {
	cluster := func(edits ...any) *unstructured.Unstructured {
		object := &unstructured.Unstructured{Object: map[string]any{}}
		for i := 0; i < len(edits); i += 2 {
			must(unstructured.SetNestedField(object.Object, edits[i+1], edits[i].([]string)...))
		}
		object.SetName("chat")
		_, err := trim(object) // as it is in the cache
		must(err)
		return object
	}
	path := func(fields ...string) []string { return fields }
	for name, test := range map[string]struct {
		now  *unstructured.Unstructured
		want bool
	}{
		"the manager's report": {cluster(path("status", "nodes"), "3/3", path("metadata", "resourceVersion"), "2"), true},
		"the probe's report":   {cluster(path("status", "mesh", "links"), int64(3)), false},
		"another spec":         {cluster(path("metadata", "generation"), int64(2)), false},
		"deleted":              {cluster(path("metadata", "deletionTimestamp"), "2026-11-22T05:00:00Z"), false},
		"another of its name":  {cluster(path("metadata", "uid"), "2"), false},
	} {
		t.Run(name, func(t *testing.T) {
			queue, update := newDelayed(), event.UpdateEvent{ObjectOld: cluster(), ObjectNew: test.now}
			defer queue.ShutDown()
			onReport().Update(context.Background(), update, queue)
			want := map[string]time.Duration{}
			if test.want {
				want["chat"] = progressInterval
			}
			if diff := cmp.Diff(want, queue.after); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if atOnce := except(isReport).Update(update); atOnce == test.want {
				t.Errorf("reconciled at once: %t", atOnce)
			}
		})
	}
}
