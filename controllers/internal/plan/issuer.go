package plan

import (
	"fmt"
	"slices"

	applycertmanager "github.com/cert-manager/cert-manager/pkg/client/applyconfigurations/certmanager/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// selfSignedIssuer signs the certificates of the private CAs.
func selfSignedIssuer(s state.State) *applycertmanager.IssuerApplyConfiguration {
	return owned(applycertmanager.Issuer(s.Names.SelfSignedIssuer(), s.Names.Namespace), s).
		WithSpec(applycertmanager.IssuerSpec().WithSelfSigned(applycertmanager.SelfSignedIssuer()))
}

// caIssuer signs with the private CA of that name.
func caIssuer(s state.State, ca string) *applycertmanager.IssuerApplyConfiguration {
	return owned(applycertmanager.Issuer(ca, s.Names.Namespace), s).
		WithSpec(applycertmanager.IssuerSpec().WithCA(applycertmanager.CAIssuer().WithSecretName(ca)))
}

func checkIssuer(p *Plan, s state.State, ref v1alpha1.IssuerReference) {
	switch {
	case s.Issuer == nil:
	case !s.Issuer.KindKnown && !hasIssued(s, ref): // Who has issued is an issuer, of whatever kind.
		p.problem(v1alpha1.ReasonIssuerKindUnknown, fmt.Sprintf(
			"tls.issuerRef: this Kubernetes has no kind %q in the group %q. cert-manager's own are Issuer and ClusterIssuer, in cert-manager.io; for another one, install what serves it", ref.Kind, ref.Group))
	case s.Issuer.KindKnown && !s.Issuer.Found:
		p.problem(v1alpha1.ReasonIssuerNotFound, fmt.Sprintf(
			"tls.issuerRef: %s %q does not exist. Create it, or name another one, or remove tls.issuerRef to have a private CA", ref.Kind, ref.Name))
	case s.Issuer.Refuses != "":
		p.problem(v1alpha1.ReasonIssuerNotReady, fmt.Sprintf(
			"tls.issuerRef: %s %q is not ready: %s", ref.Kind, ref.Name, state.Shortened(s.Issuer.Refuses, state.MaxCause)))
	}
	if secret, found := withoutRoot(s, ref); found {
		p.problem(v1alpha1.ReasonIssuerGivesNoRoot, fmt.Sprintf(
			"tls.issuerRef: %s %q gave the certificate in Secret %s without the CAs above it, up to the root, neither in ca.crt nor in the chain of tls.crt, so that the nodes cannot know which CA to trust. Let the issuer send them (a CA issuer: append them to tls.crt in its Secret), or name another one, or remove tls.issuerRef to have a private CA",
			ref.Kind, ref.Name, secret))
	}
}

func hasIssued(s state.State, issuer v1alpha1.IssuerReference) bool {
	return slices.ContainsFunc(append(s.CertificateOwners(), s.Names.Canary()), func(owner string) bool {
		by, known := s.IssuedBy(owner)
		return known && by == issuer
	})
}

// withoutRoot is the first Secret with a certificate by an issuer that cannot be followed
// up to a root: OTP trusts none that it cannot follow.
func withoutRoot(s state.State, issuer v1alpha1.IssuerReference) (secret string, found bool) {
	for _, owner := range append(s.CertificateOwners(), s.Names.Canary()) {
		by, _ := s.IssuedBy(owner)
		if leaf, ok := s.StoredCertificate(owner); ok && by == issuer && !leaf.HasRoot(s.Trust()) {
			return s.Names.Certificate(owner), true
		}
	}
	by, _ := s.IntermediateBy()
	ca, ok := s.Intermediate()
	return s.Names.Intermediate(), ok && by == issuer && !ca.HasRoot(s.Trust())
}
