package certs_test

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/certstest"
)

func TestValidate(t *testing.T) {
	midway := certstest.Start.Add(time.Hour)
	trust := certs.Trust{}.With(blue.Certificate)
	intermediate := blue.Intermediate("blue intermediate")
	usages := func(usages ...x509.ExtKeyUsage) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtKeyUsage = usages }
	}
	names := func(names ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.DNSNames = names }
	}
	tests := map[string]struct {
		leaf  *x509.Certificate
		above []*x509.Certificate
		now   time.Time
		want  string // reason; empty when nothing is wrong
		says  string
	}{
		"good":                         {leaf: blue.Issue(host)},
		"good in its first second":     {leaf: blue.Issue(host), now: certstest.Start},
		"good in its last":             {leaf: blue.Issue(host), now: certstest.End},
		"good by a wildcard":           {leaf: blue.Issue(host, names("*.chat-nodes.shop.svc.cluster.local"))},
		"good without usages":          {leaf: blue.Issue(host, usages())},
		"good with any usage":          {leaf: blue.Issue(host, usages(x509.ExtKeyUsageAny))},
		"good through an intermediate": {leaf: intermediate.Issue(host), above: []*x509.Certificate{intermediate.Certificate}},
		"its intermediate not sent":    {leaf: intermediate.Issue(host), want: v1alpha1.ReasonCertificateUntrusted},
		"expired":                      {leaf: blue.Issue(host), now: certstest.End.Add(time.Second), want: v1alpha1.ReasonCertificateExpired, says: "2026-01-31T00:00:00Z"},
		"not yet valid":                {leaf: blue.Issue(host), now: certstest.Start.Add(-time.Second), want: v1alpha1.ReasonCertificateNotYetValid, says: "2026-01-01T00:00:00Z"},
		"of another host":              {leaf: blue.Issue("chat-1.chat-nodes.shop.svc.cluster.local"), want: v1alpha1.ReasonCertificateNameMismatch, says: host},
		"without a DNS name":           {leaf: blue.Issue(host, names()), want: v1alpha1.ReasonCertificateNameMismatch, says: host},
		"for servers only":             {leaf: blue.Issue(host, usages(x509.ExtKeyUsageServerAuth)), want: v1alpha1.ReasonCertificateUnusable, says: "clientAuth"},
		"for clients only":             {leaf: blue.Issue(host, usages(x509.ExtKeyUsageClientAuth)), want: v1alpha1.ReasonCertificateUnusable, says: "serverAuth"},
		"for no signature":             {leaf: blue.Issue(host, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), want: v1alpha1.ReasonCertificateUnusable, says: "digitalSignature"},
		"without any key usage":        {leaf: blue.Issue(host, func(c *x509.Certificate) { c.KeyUsage = 0 })},
		"outlives its CA": {leaf: blue.Issue(host, func(c *x509.Certificate) { c.NotAfter = blue.Certificate.NotAfter.AddDate(1, 0, 0) }),
			now: blue.Certificate.NotAfter.Add(time.Second), want: v1alpha1.ReasonCertificateExpired, says: `the CA "CN=blue", which is valid only from 2026-01-01T00:00:00Z to 2036-01-01T00:00:00Z`},
		"outlives its intermediate": {leaf: intermediate.Issue(host, func(c *x509.Certificate) { c.NotAfter = blue.Certificate.NotAfter }), above: []*x509.Certificate{intermediate.Certificate},
			now: intermediate.Certificate.NotAfter.Add(time.Second), want: v1alpha1.ReasonCertificateExpired, says: `the CA "CN=blue intermediate"`},
		"of another CA":                 {leaf: green.Issue(host), want: v1alpha1.ReasonCertificateUntrusted, says: "not signed by a CA of the trust bundle"},
		"of another CA, which it sends": {leaf: green.Issue(host), above: []*x509.Certificate{green.Certificate}, want: v1alpha1.ReasonCertificateUntrusted},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			now := test.now
			if now.IsZero() {
				now = midway
			}
			fault := certs.Certificate{X509: test.leaf, Issuers: test.above}.Validate(host, trust, now)
			switch {
			case test.want == "" && fault != nil:
				t.Errorf("%+v, want no fault", *fault)
			case test.want != "" && fault == nil:
				t.Errorf("no fault, want %s", test.want)
			case test.want != "" && (fault.Reason != test.want || !strings.Contains(fault.Detail, test.says)):
				t.Errorf("%+v, want %s that says %q", *fault, test.want, test.says)
			}
		})
	}
}

func TestNobodyIsTrustedWithoutATrustBundle(t *testing.T) {
	fault := certs.Certificate{X509: blue.Issue(host)}.Validate(host, certs.Trust{}, certstest.Start)
	if fault == nil || fault.Reason != v1alpha1.ReasonCertificateUntrusted {
		t.Errorf("%+v, want %s: an empty trust is not that of the machine", fault, v1alpha1.ReasonCertificateUntrusted)
	}
}

func TestParseCertificate(t *testing.T) {
	intermediate := blue.Intermediate("blue intermediate")
	leaf, err := certs.ParseCertificate(
		certstest.PEM(intermediate.Issue(host), intermediate.Certificate), certstest.PEM(blue.Certificate))
	if err != nil {
		t.Fatal(err)
	}
	if !leaf.X509.Equal(intermediate.Issue(host)) {
		t.Error("the first certificate of tls.crt is not the leaf")
	}
	if len(leaf.Issuers) != 2 || !leaf.Issuers[0].Equal(intermediate.Certificate) || !leaf.Issuers[1].Equal(blue.Certificate) {
		t.Errorf("above the leaf are %d certificates, want the intermediate of tls.crt and the CA of ca.crt", len(leaf.Issuers))
	}
	if leaf, err := certs.ParseCertificate(certstest.PEM(blue.Issue(host)), nil); err != nil || len(leaf.Issuers) != 0 {
		t.Errorf("without ca.crt (ACME gives none): %d above, error %v", len(leaf.Issuers), err)
	}
}

func TestParseCertificateNamesWhatIsBroken(t *testing.T) {
	good := certstest.PEM(blue.Issue(host))
	for name, test := range map[string]struct{ tlsCrt, caCrt, says string }{
		"no tls.crt":       {"", "", "tls.crt"},
		"a broken tls.crt": {"x", "", "tls.crt"},
		"a broken ca.crt":  {string(good), "x", "ca.crt"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := certs.ParseCertificate([]byte(test.tlsCrt), []byte(test.caCrt)); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want one that names %s", err, test.says)
			}
		})
	}
}

func FuzzParseCertificate(f *testing.F) {
	f.Add([]byte{}, []byte{})
	f.Add(certstest.PEM(blue.Issue(host), blue.Certificate), certstest.PEM(blue.Certificate))
	f.Add(certstest.PEM(green.Issue(host, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] })), []byte("-----BEGIN "))
	f.Add(certstest.PEM(green.Issue(host)), []byte{})
	trust := certs.Trust{}.With(blue.Certificate)
	f.Fuzz(func(t *testing.T, tlsCrt, caCrt []byte) {
		leaf, err := certs.ParseCertificate(tlsCrt, caCrt)
		if err != nil {
			return
		}
		if leaf.X509 == nil {
			t.Fatal("no certificate, and no error")
		}
		leaf.Validate(host, trust, certstest.Start) // must not panic
	})
}
