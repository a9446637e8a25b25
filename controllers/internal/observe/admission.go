package observe

import (
	"context"
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// Admission is the name of what gives each member pod its own certificate: of the
// MutatingAdmissionPolicy and its binding, and of the MutatingWebhookConfiguration.
const Admission = "erlang-operator-member-identity"

// Served is what not every Kubernetes has.
type Served struct {
	// AdmissionPolicies are MutatingAdmissionPolicies.
	AdmissionPolicies bool
	// PodCertificates are PodCertificateRequests.
	PodCertificates bool
}

// AdmissionKinds are empty objects of the kinds by which pods get their own certificates.
func AdmissionKinds(by state.PodIdentity, served Served) []client.Object {
	switch {
	case by == state.ByWebhook:
		return []client.Object{&admissionv1.MutatingWebhookConfiguration{}}
	case served.AdmissionPolicies:
		return []client.Object{&admissionv1.MutatingAdmissionPolicy{}, &admissionv1.MutatingAdmissionPolicyBinding{}}
	default:
		return nil
	}
}

// admission reads whether what gives each pod its own certificate is in force. Where that may
// not be read, a pod that it did not change tells that it is not.
func (o *Observer) admission(ctx context.Context, observed *state.State) error {
	observed.Admission = state.Admission{By: o.PodIdentity}
	kinds := AdmissionKinds(o.PodIdentity, o.Served)
	if kinds == nil {
		observed.Admission.Lacking = state.NotServed
	}
	if !o.ClusterWide {
		return nil
	}
	for _, object := range kinds {
		err := o.Cached.Get(ctx, types.NamespacedName{Name: Admission}, object)
		if apierrors.IsNotFound(err) {
			observed.Admission.Lacking = state.NotInstalled
			return nil
		}
		if err != nil {
			return fmt.Errorf("get %T %s: %w", object, Admission, err)
		}
		if created := object.GetCreationTimestamp().Time; created.After(observed.Admission.Since) {
			observed.Admission.Since = created
		}
		if configuration, ok := object.(*admissionv1.MutatingWebhookConfiguration); ok {
			observed.Admission.Lacking = lackOf(configuration.Webhooks)
		}
	}
	return nil
}

// lackOf is why webhooks have no effect. Without a bundle the API server would verify their
// certificates with its own CAs, of which cert-manager is none.
func lackOf(webhooks []admissionv1.MutatingWebhook) state.Lack {
	switch {
	case len(webhooks) == 0:
		return state.NotInstalled
	case slices.ContainsFunc(webhooks, func(w admissionv1.MutatingWebhook) bool { return len(w.ClientConfig.CABundle) == 0 }):
		return state.NoCABundle
	default:
		return ""
	}
}
