package report

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
)

// authorities are the CAs of the trust bundle. One that was renewed with its key is
// there twice, and is told of once, with the time that it has now.
func (v view) authorities() []v1alpha1.AuthorityStatus {
	var all []v1alpha1.AuthorityStatus
	for _, ca := range v.Trust().CAs() {
		authority := v1alpha1.AuthorityStatus{
			Identity: certs.Identity(ca), Subject: shortened(ca.Subject.String(), 256), NotAfter: metav1.NewTime(ca.NotAfter),
		}
		same := slices.IndexFunc(all, func(a v1alpha1.AuthorityStatus) bool { return a.Identity == authority.Identity })
		switch {
		case same < 0:
			all = append(all, authority)
		case all[same].NotAfter.Before(&authority.NotAfter):
			all[same] = authority
		}
	}
	slices.SortFunc(all, func(a, b v1alpha1.AuthorityStatus) int { return strings.Compare(a.Identity, b.Identity) })
	return all[:min(len(all), v1alpha1.MaxAuthorities)]
}

// rotating are the credentials that the plan takes from one to another.
func (v view) rotating() []v1alpha1.RotatingCredential {
	var all []v1alpha1.RotatingCredential
	for _, hold := range v.plan.Holds {
		switch hold.Reason {
		case v1alpha1.ReasonRotatingCA:
			all = append(all, v1alpha1.RotatingCA)
		case v1alpha1.ReasonRotatingCookie:
			all = append(all, v1alpha1.RotatingCookie)
		}
	}
	return all
}
