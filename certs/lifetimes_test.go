package certs_test

import (
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
)

// A duration is enough: when to renew follows from it.
func TestRenewBeforeFollowsFromTheDuration(t *testing.T) {
	for name, test := range map[string]struct {
		lifetime v1alpha1.CertificateLifetime
		want     time.Duration
	}{
		"a month":    {v1alpha1.CertificateLifetime{Duration: "720h"}, 240 * time.Hour},
		"a day":      {v1alpha1.CertificateLifetime{Duration: "24h"}, 8 * time.Hour},
		"an hour":    {v1alpha1.CertificateLifetime{Duration: "1h"}, 20 * time.Minute},
		"as it says": {v1alpha1.CertificateLifetime{Duration: "24h", RenewBefore: "1h"}, time.Hour},
	} {
		if got := certs.RenewBefore(test.lifetime); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}
