package plan_test

import (
	"slices"
	"testing"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/rotation"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
)

// A plan has the certificates, the CAs and the trust bundle that the rotation needs, and
// no others.
func TestPlanFollowsTheRotation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := statetest.Draw(t)
		p, step := plan.Make(s, operator, freshCookie), rotation.NextCA(s)
		var cas []string
		var canary *v1alpha1.IssuerReference
		for _, certificate := range certificatesOf(t, p) {
			ref := certificate.Spec.IssuerRef
			issuer := v1alpha1.IssuerReference{Name: ref.Name, Kind: ref.Kind, Group: ref.Group}
			switch {
			case certificate.Name == s.Names.Certificate(s.Names.Canary()):
				canary = &issuer
			case certificate.Spec.IsCA && certificate.Name != s.Names.Intermediate():
				cas = append(cas, certificate.Name)
			case issuer != step.Issuer:
				t.Fatalf("Certificate %s is asked of %v, not of %v", certificate.Name, issuer, step.Issuer)
			}
		}
		if diff := cmp.Diff(step.Canary, canary); diff != "" {
			t.Fatalf("canary (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(step.CAs, cas); diff != "" {
			t.Fatalf("CAs (-want +got):\n%s", diff)
		}
		for _, trust := range plannedTrust(t, s) {
			if trust.PEM() != step.Trust.PEM() {
				t.Fatal("the trust bundle is not that of the rotation")
			}
		}
		for _, object := range p.Delete {
			if _, ok := object.(*certmanager.Certificate); ok && slices.Contains(step.CAs, object.GetName()) {
				t.Fatalf("the CA %s is needed, and deleted", object.GetName())
			}
		}
	})
}

func certificatesOf(t failer, p plan.Plan) []certmanager.Certificate {
	t.Helper()
	var all []certmanager.Certificate
	for _, configuration := range p.Apply {
		if *configuration.GetKind() == "Certificate" {
			var certificate certmanager.Certificate
			convert(t, configuration, &certificate)
			all = append(all, certificate)
		}
	}
	return all
}
