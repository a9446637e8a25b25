package controllers

import (
	"context"
	"fmt"
	"net/http"

	"gomodules.xyz/jsonpatch/v2"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/identity"
)

// identityWebhookPath is where config/webhook has the API server send pods.
const identityWebhookPath = "/assign-pod-identity"

// serveIdentityWebhook has every replica give pods their own certificates, whether it leads
// or not, and be Ready only while it can.
func serveIdentityWebhook(mgr ctrl.Manager) error {
	server := mgr.GetWebhookServer()
	server.Register(identityWebhookPath, &admission.Webhook{
		Handler: identityWebhook{admission.NewDecoder(mgr.GetScheme())}, RecoverPanic: new(true),
	})
	return mgr.AddReadyzCheck("webhook", server.StartedChecker())
}

// identityWebhook needs nothing but the pod in the request: no cache, no API server.
type identityWebhook struct{ decoder admission.Decoder }

// Handle changes one string and nothing else, so that fields of a newer Kubernetes stay.
func (w identityWebhook) Handle(_ context.Context, request admission.Request) admission.Response {
	pod := &corev1.Pod{}
	if err := w.decoder.Decode(request, pod); err != nil {
		return admission.Errored(http.StatusBadRequest, fmt.Errorf("read the pod: %w", err))
	}
	change, err := identity.Assign(pod)
	if err != nil {
		return admission.Denied(err.Error())
	}
	if change == nil {
		return admission.Allowed("")
	}
	volume := fmt.Sprintf("/spec/volumes/%d", change.Volume)
	return admission.Patched("",
		jsonpatch.NewOperation("test", volume+"/name", naming.TLSVolume),
		jsonpatch.NewOperation("replace", volume+"/secret/secretName", change.Secret))
}
