package controllers

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/erlang-operator/erlang-operator/controllers/internal/status"
)

// A pod whose readiness gate cannot be opened keeps neither another pod's closed nor the
// status from being written, and is tried again.
func TestReadinessGateThatCannotBeOpenedHoldsUpNothing(t *testing.T) {
	w := before(t, "scale up")
	manager := w.manager(w.present)
	refused := errors.New("refused by a webhook")
	var mutex sync.Mutex
	var asked []string
	manager.Client = interceptor.NewClient(w.present, interceptor.Funcs{
		SubResourceApply: func(_ context.Context, _ client.Client, _ string, configuration runtime.ApplyConfiguration, _ ...client.SubResourceApplyOption) error {
			head := headOf(configuration)
			mutex.Lock()
			defer mutex.Unlock()
			asked = append(asked, head.Kind+" "+head.Name)
			switch head.Name {
			case "chat-0":
				return refused
			case "chat-1":
				return w.checkUID(configuration)
			}
			return nil
		},
	})
	joined := &corev1.Pod{}
	must(w.present.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "chat-0"}, joined))
	replaced := joined.DeepCopy()
	replaced.Name = "chat-1"
	must(w.present.Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "chat-1", UID: "another"}}))
	err := manager.write(t.Context(), w.cluster(), status.Report{
		Joined: []*corev1.Pod{joined, replaced}, Changed: true, Status: w.cluster().Status})
	if !errors.Is(err, refused) || apierrors.IsInvalid(err) {
		t.Errorf("%v, want the refusal alone: the pod that was replaced has no gate to open", err)
	}
	slices.Sort(asked[:len(asked)-1]) // The gates are opened at once, and before the status is written.
	if want := []string{"Pod chat-0", "Pod chat-1", "ErlangCluster chat"}; !slices.Equal(asked, want) {
		t.Errorf("it writes to %v, want %v", asked, want)
	}
}

// What fails again and again is looked at again soon, however long it has failed.
func TestRetriesNeverTakeLong(t *testing.T) {
	limiter, request := retries(), ctrl.Request{}
	first := limiter.When(request)
	var last time.Duration
	for range 100 {
		last = limiter.When(request)
	}
	if first > time.Second || last != longestRetryInterval {
		t.Errorf("it waits for %s at first, and for %s in the end", first, last)
	}
}
