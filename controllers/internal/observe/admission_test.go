package observe_test

import (
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/controllers/internal/observe"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

func TestAdmission(t *testing.T) {
	created := func(hour int) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: observe.Admission, CreationTimestamp: metav1.NewTime(time.Date(2026, 1, 1, hour, 0, 0, 0, time.UTC))}
	}
	policy, binding := &admissionv1.MutatingAdmissionPolicy{ObjectMeta: created(1)}, &admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: created(2)}
	webhook := func(bundles ...string) *admissionv1.MutatingWebhookConfiguration {
		configuration := &admissionv1.MutatingWebhookConfiguration{ObjectMeta: created(3)}
		for _, bundle := range bundles {
			configuration.Webhooks = append(configuration.Webhooks, admissionv1.MutatingWebhook{Name: "pods.erlang-operator.dev",
				ClientConfig: admissionv1.WebhookClientConfig{CABundle: []byte(bundle)}})
		}
		return configuration
	}
	for name, test := range map[string]struct {
		by      state.PodIdentity
		old     bool // a Kubernetes without policies
		objects []client.Object
		lacking state.Lack
		hour    int
	}{
		"policy and binding":         {by: state.ByPolicy, objects: []client.Object{policy, binding}, hour: 2},
		"no binding":                 {by: state.ByPolicy, objects: []client.Object{policy}, lacking: state.NotInstalled},
		"no policy":                  {by: state.ByPolicy, objects: []client.Object{binding, webhook("ca")}, lacking: state.NotInstalled},
		"a Kubernetes without":       {by: state.ByPolicy, old: true, objects: []client.Object{webhook("ca")}, lacking: state.NotServed},
		"webhook":                    {by: state.ByWebhook, old: true, objects: []client.Object{webhook("ca")}, hour: 3},
		"webhook beside the policy":  {by: state.ByWebhook, objects: []client.Object{policy, binding, webhook("ca")}, hour: 3},
		"policy without the webhook": {by: state.ByWebhook, objects: []client.Object{policy, binding}, lacking: state.NotInstalled},
		"webhook of an unknown CA":   {by: state.ByWebhook, objects: []client.Object{webhook("")}, lacking: state.NoCABundle, hour: 3},
		"configuration of nothing":   {by: state.ByWebhook, objects: []client.Object{webhook()}, lacking: state.NotInstalled},
	} {
		t.Run(name, func(t *testing.T) {
			observer := newServer(t, test.objects...).observer()
			observer.PodIdentity, observer.Served.AdmissionPolicies = test.by, !test.old
			observed, err := observer.Observe(t.Context(), minimal())
			if err != nil {
				t.Fatal(err)
			}
			got := observed.Admission
			if got.By != test.by || got.Lacking != test.lacking || test.lacking == "" && got.Since.UTC().Hour() != test.hour {
				t.Errorf("observed %+v, want lacking %q since hour %d", got, test.lacking, test.hour)
			}
		})
	}
}
