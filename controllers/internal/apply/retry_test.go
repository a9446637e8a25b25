package apply_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	applycertmanager "github.com/cert-manager/cert-manager/pkg/client/applyconfigurations/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/erlang-operator/erlang-operator/controllers/internal/apply"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
)

// A retry is recorded when it was made. That a Certificate has changed since it was observed is no error:
// it is retried already. A missing permission is one that somebody has to fix.
func TestRetryIsRecordedWhenItWasMade(t *testing.T) {
	certificates := schema.GroupResource{Group: "cert-manager.io", Resource: "certificates"}
	for name, test := range map[string]struct {
		answer   error
		events   int
		rejected bool
	}{
		"made":    {nil, 1, false},
		"changed": {apierrors.NewConflict(certificates, "chat-ca", errors.New("it has changed")), 0, false},
		"gone":    {apierrors.NewNotFound(certificates, "chat-ca"), 0, false},
		"refused": {apierrors.NewForbidden(certificates, "chat-ca", errors.New("no")), 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			w, recorder := newWorld(), events.NewFakeRecorder(10)
			var asked []string
			answering := interceptor.NewClient(w.Client.(client.WithWatch), interceptor.Funcs{
				SubResourceApply: func(_ context.Context, _ client.Client, subresource string, configuration runtime.ApplyConfiguration, _ ...client.SubResourceApplyOption) error {
					asked = append(asked, *configuration.(plan.Configuration).GetName()+" "+subresource)
					return test.answer
				},
			})
			a := &apply.Applier{Client: answering, Live: w, Recorder: recorder}
			err := a.Apply(t.Context(), plan.Plan{Retry: []*applycertmanager.CertificateApplyConfiguration{applycertmanager.Certificate("chat-ca", "shop")}},
				statetest.Situation{}.Seen(cluster()))
			if apply.IsRejected(err) != test.rejected || !test.rejected && err != nil {
				t.Errorf("error %v", err)
			}
			if len(asked) != 1 || asked[0] != "chat-ca status" || len(recorder.Events) != test.events {
				t.Errorf("it writes to %v, and records %d events, want %d", asked, len(recorder.Events), test.events)
			}
		})
	}
}

// The API server takes no event with a note of more than 1024 bytes, and cert-manager's messages may have 32 KiB.
func TestEventOfARetryIsShort(t *testing.T) {
	w, recorder := newWorld(), events.NewFakeRecorder(1)
	a := &apply.Applier{Live: w, Recorder: recorder, Client: interceptor.NewClient(w.Client.(client.WithWatch), interceptor.Funcs{
		SubResourceApply: func(context.Context, client.Client, string, runtime.ApplyConfiguration, ...client.SubResourceApplyOption) error {
			return nil
		},
	})}
	observed, name := statetest.Situation{}.Seen(cluster()), strings.Repeat("c", 63)
	observed.Certificates[name] = &certmanager.Certificate{Status: certmanager.CertificateStatus{Conditions: []certmanager.CertificateCondition{{
		Type: certmanager.CertificateConditionIssuing, Status: certmanagermeta.ConditionFalse, Message: "The CA said: x" + strings.Repeat("…", 10_000)}}}}
	if err := a.Apply(t.Context(), plan.Plan{Retry: []*applycertmanager.CertificateApplyConfiguration{applycertmanager.Certificate(name, "shop")}}, observed); err != nil {
		t.Fatal(err)
	}
	if event := <-recorder.Events; len(event) > 1024 || !utf8.ValidString(event) || !strings.Contains(event, "The CA said: x…") {
		t.Errorf("%d bytes: %q", len(event), event)
	}
}

// What is no longer wanted is deleted although cert-manager's API refuses a retry.
func TestRefusedRetryHoldsUpNoDeletion(t *testing.T) {
	refused := errors.New(`failed calling webhook "webhook.cert-manager.io": connection refused`)
	w := newWorld(theConfigMap())
	observed := w.observed(t, theConfigMap())
	a := &apply.Applier{Live: w, Recorder: events.NewFakeRecorder(10), Client: interceptor.NewClient(w.Client.(client.WithWatch), interceptor.Funcs{
		SubResourceApply: func(context.Context, client.Client, string, runtime.ApplyConfiguration, ...client.SubResourceApplyOption) error {
			return apierrors.NewInternalError(refused)
		},
	})}
	err := a.Apply(t.Context(), plan.Plan{Retry: []*applycertmanager.CertificateApplyConfiguration{applycertmanager.Certificate("chat-ca", "shop")}, Delete: observed.Owned}, observed)
	if gone := w.Get(t.Context(), client.ObjectKeyFromObject(theConfigMap()), &corev1.ConfigMap{}); err == nil || !apierrors.IsNotFound(gone) {
		t.Errorf("error %v, and of the object to delete %v", err, gone)
	}
}
