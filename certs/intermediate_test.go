package certs_test

import (
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/certstest"
)

func TestLifetimeOfTheIntermediate(t *testing.T) {
	for name, test := range map[string]struct {
		certificate, ca v1alpha1.Duration
		issuer          bool
		want            time.Duration
	}{
		"three times that of what it signs": {"720h", "87600h", false, 2160 * time.Hour},
		"not longer than half the CA's":     {"720h", "3000h", false, 1500 * time.Hour},
		"an issuer has its own CA":          {"720h", "3000h", true, 2160 * time.Hour},
		"of what can be signed":             {"9000h", "87600h", false, 3 * 91 * 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			spec := v1alpha1.TLSSpec{Certificate: v1alpha1.CertificateLifetime{Duration: test.certificate}, CA: v1alpha1.CASpec{Duration: test.ca}}
			if test.issuer {
				spec.IssuerRef = &v1alpha1.IssuerReference{Name: "corp", Kind: "ClusterIssuer", Group: "cert-manager.io"}
			}
			if got := certs.IntermediateLifetime(spec); got != test.want {
				t.Errorf("it lives for %s, want %s", got, test.want)
			}
		})
	}
}

func TestValidateIntermediate(t *testing.T) {
	root, now := certstest.NewAuthority("blue"), certstest.Start.Add(time.Hour)
	below := root.Intermediate("intermediate")
	last := root.Intermediate("last", func(c *x509.Certificate) { c.MaxPathLenZero = true })
	sign := root.Intermediate("usage", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })
	good := certs.Certificate{X509: below.Certificate, Issuers: []*x509.Certificate{root.Certificate}}
	trust := certs.Trust{}.With(root.Certificate)
	for name, test := range map[string]struct {
		ca     certs.Certificate
		trust  certs.Trust
		now    time.Time
		reason string
	}{
		"good":            {good, trust, now, ""},
		"expired":         {good, trust, below.Certificate.NotAfter.Add(time.Second), v1alpha1.ReasonCertificateExpired},
		"not yet valid":   {good, trust, certstest.Start.Add(-time.Second), v1alpha1.ReasonCertificateNotYetValid},
		"foreign":         {good, certs.Trust{}.With(certstest.NewAuthority("green").Certificate), now, v1alpha1.ReasonCertificateUntrusted},
		"nobody trusted":  {good, certs.Trust{}, now, v1alpha1.ReasonCertificateUntrusted},
		"a leaf":          {certs.Certificate{X509: root.Issue("host")}, trust, now, v1alpha1.ReasonIssuerGivesNoCA},
		"may not sign":    {certs.Certificate{X509: sign.Certificate}, trust, now, v1alpha1.ReasonIssuerGivesNoCA},
		"may sign leaves": {certs.Certificate{X509: last.Certificate}, trust, now, ""},
		"below such a CA": {certs.Certificate{X509: last.Intermediate("too low").Certificate, Issuers: []*x509.Certificate{last.Certificate}}, trust, now, v1alpha1.ReasonIssuerGivesNoCA},
	} {
		t.Run(name, func(t *testing.T) {
			fault := test.ca.ValidateIntermediate(test.trust, test.now)
			switch {
			case test.reason == "" && fault != nil:
				t.Errorf("unexpected fault %+v", fault)
			case test.reason != "" && (fault == nil || fault.Reason != test.reason || fault.Detail == ""):
				t.Errorf("the fault is %+v, want %s", fault, test.reason)
			}
		})
	}
}

// A node serves the certificates between its leaf and the roots.
func TestChainHasNoRoots(t *testing.T) {
	root := certstest.NewAuthority("blue")
	middle := root.Intermediate("middle")
	low := middle.Intermediate("low")
	leaf := certs.Certificate{X509: low.Certificate, Issuers: []*x509.Certificate{middle.Certificate, root.Certificate, middle.Certificate}}
	if got := leaf.Chain(); !slices.Equal(got, []*x509.Certificate{low.Certificate, middle.Certificate}) {
		var names []string
		for _, certificate := range got {
			names = append(names, certificate.Subject.CommonName)
		}
		t.Errorf("the chain is %s, want low, middle", strings.Join(names, ", "))
	}
}
