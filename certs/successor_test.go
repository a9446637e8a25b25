package certs_test

import (
	"crypto/x509"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/certstest"
)

func authorityOf(life time.Duration) *x509.Certificate {
	return certstest.NewAuthority("ca", func(c *x509.Certificate) { c.NotAfter = c.NotBefore.Add(life) }).Certificate
}

func TestSuccessorDue(t *testing.T) {
	for name, test := range map[string]struct {
		life        time.Duration
		certificate v1alpha1.Duration
		delivery    v1alpha1.CertificateDelivery
		left        time.Duration
	}{
		"a third of a long life":            {87600 * time.Hour, "720h", v1alpha1.DeliverySecret, 29200 * time.Hour},
		"what a certificate lives":          {2000 * time.Hour, "720h", v1alpha1.DeliverySecret, 720 * time.Hour},
		"what an intermediate lives":        {5000 * time.Hour, "720h", v1alpha1.DeliveryPodCertificate, 2160 * time.Hour},
		"half of a life as short as can be": {2 * time.Hour, "1h", v1alpha1.DeliverySecret, time.Hour},
		"half of one that an issuer cut":    {time.Hour, "720h", v1alpha1.DeliverySecret, 30 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			ca := authorityOf(test.life)
			spec := v1alpha1.TLSSpec{
				Certificate: v1alpha1.CertificateLifetime{Duration: test.certificate},
				CA:          v1alpha1.CASpec{Duration: "87600h"}, Delivery: test.delivery}
			if left := ca.NotAfter.Sub(certs.SuccessorDue(ca, spec)); left != test.left {
				t.Errorf("successor due when %s are left, want %s", left, test.left)
			}
		})
	}
}

// Whatever the spec requests and the issuer returns: the successor of a new CA is not due,
// and a CA whose successor is due has enough of its lifetime left.
func TestSuccessorIsNeverDueAtOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hours := func(what string) time.Duration {
			return time.Duration(rapid.IntRange(1, 100_000).Draw(t, what)) * time.Hour
		}
		ca := authorityOf(hours("life"))
		spec := v1alpha1.TLSSpec{
			Certificate: v1alpha1.CertificateLifetime{Duration: v1alpha1.Duration(hours("leaf").String())},
			CA:          v1alpha1.CASpec{Duration: v1alpha1.Duration(hours("asked").String())},
			Delivery:    rapid.SampledFrom([]v1alpha1.CertificateDelivery{v1alpha1.DeliverySecret, v1alpha1.DeliveryPodCertificate}).Draw(t, "delivery"),
		}
		life, at := ca.NotAfter.Sub(ca.NotBefore), certs.SuccessorDue(ca, spec)
		if at.Sub(ca.NotBefore) < life/2 || ca.NotAfter.Sub(at) < life/3 {
			t.Fatalf("the successor of a CA of %s is due after %s", life, at.Sub(ca.NotBefore))
		}
	})
}
