package status

import (
	"crypto/x509"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// trusted are the CAs of the trust bundle. One that was renewed with the same key is in it
// twice, and is reported once, with the later expiry.
func (p pass) trusted() []*x509.Certificate {
	latest := map[string]*x509.Certificate{}
	for _, ca := range p.Trust().CAs() {
		identity := certs.Identity(ca)
		if known := latest[identity]; known == nil || known.NotAfter.Before(ca.NotAfter) {
			latest[identity] = ca
		}
	}
	var all []*x509.Certificate
	for _, identity := range slices.Sorted(maps.Keys(latest)) {
		all = append(all, latest[identity])
	}
	return all
}

// authorities are the trusted CAs as the status has them.
func (p pass) authorities() []v1alpha1.AuthorityStatus {
	var all []v1alpha1.AuthorityStatus
	for _, ca := range p.trusted() {
		all = append(all, v1alpha1.AuthorityStatus{
			Identity: certs.Identity(ca), Subject: state.Shortened(ca.Subject.String(), 256), NotAfter: metav1.NewTime(ca.NotAfter),
		})
	}
	return all[:min(len(all), v1alpha1.MaxAuthorities)]
}
