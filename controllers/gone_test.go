package controllers

import (
	"context"
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

func requestFor(object client.Object) ctrl.Request {
	return ctrl.Request{NamespacedName: client.ObjectKeyFromObject(object)}
}

// A cluster that is deleted in the middle of a pass, and all that it owns with it, is
// no failure: neither to the manager whose caches do not know yet, nor later.
func TestClusterDeletedInAPass(t *testing.T) {
	start := before(t, "scale up")
	for _, write := range []int{1, 2, 5} {
		t.Run(fmt.Sprintf("at write %d", write), func(t *testing.T) {
			w := start.copied()
			past := w.copied()
			w.fault = func(at int) error {
				if at == write {
					for _, object := range w.objects() {
						must(w.present.Delete(context.Background(), object))
					}
				}
				return nil
			}
			manager := w.manager(past.present)
			for range 2 {
				result, err := manager.Reconcile(t.Context(), requestFor(past.cluster()))
				if err != nil || result != (ctrl.Result{}) {
					t.Errorf("it comes to %+v, %v", result, err)
				}
			}
			if w.writes < write {
				t.Fatalf("only %d writes: it was never deleted", w.writes)
			}
		})
	}

	t.Run("a failure of another kind is returned", func(t *testing.T) {
		w := start.copied()
		w.fault = func(int) error { return context.DeadlineExceeded }
		if _, err := w.manager(w.present).Reconcile(t.Context(), requestFor(w.cluster())); err == nil {
			t.Error("no error")
		}
	})
}

// reads counts the Secrets that are read.
type reads struct {
	client.Reader
	secrets int
}

func (r *reads) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if _, ok := object.(*corev1.Secret); ok {
		r.secrets++
	}
	return r.Reader.Get(ctx, key, object, options...)
}

// Nothing is remembered of a deleted cluster: neither what was applied, nor the cookie of
// its secretKeyRef.
func TestGoneClustersAreForgotten(t *testing.T) {
	cluster := chat(1)
	cluster.Spec.Cookie.SecretKeyRef = &v1alpha1.SecretKeyReference{Name: "legacy", Key: "cookie"}
	w := newSimulation(cluster)
	must(w.present.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "legacy", UID: "legacy"},
		Data:       map[string][]byte{"cookie": []byte("MonsterOfCookies")},
	}))
	// Without managed fields nothing tells what was applied but what is remembered.
	manager := w.manager(interceptor.NewClient(w.present, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			return errors.Join(c.List(ctx, list, options...), meta.EachListItem(list, func(item runtime.Object) error {
				item.(client.Object).SetManagedFields(nil)
				return nil
			}))
		},
	}))
	live := &reads{Reader: w.present}
	manager.observer.Live = live
	if err := w.converge(manager); err != nil {
		t.Fatal(err)
	}
	pass := func() (writes, secrets int) {
		t.Helper()
		w.writes, live.secrets = 0, 0
		if _, err := manager.Reconcile(t.Context(), requestFor(cluster)); err != nil {
			t.Fatal(err)
		}
		return w.writes, live.secrets
	}
	if writes, secrets := pass(); writes != 0 || secrets != 0 {
		t.Fatalf("at rest it costs %d writes, and %d reads of Secrets", writes, secrets)
	}

	again := w.cluster()
	must(w.present.Delete(t.Context(), again))
	pass()
	again.ResourceVersion = ""
	must(w.present.Create(t.Context(), again))
	if writes, secrets := pass(); writes < 10 || secrets != 1 {
		t.Errorf("of the cluster that was gone something was remembered: %d writes, and %d reads of Secrets", writes, secrets)
	}
}
