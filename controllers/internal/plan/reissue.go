package plan

import (
	"slices"
	"time"

	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// reissueInterval is the least time between two deletions of a certificate's Secret, so
// that somebody who writes into it again and again costs few certificates. It is also more
// than the watches of a Secret and of its CertificateRequest can be apart.
const reissueInterval = 30 * time.Second

// reissue deletes the Secrets whose certificate is not of a CA that the nodes trust, or
// shall trust: cert-manager has not put it there, or of a CA that is gone, and it makes the
// Secret again. cert-manager itself looks at key and name only. Nodes run on with what
// they have read until then.
func reissue(p *Plan, s state.State, trust certs.Trust) {
	trust = trust.Union(s.Trust())
	for _, name := range signedNames(s) {
		if !foreign(s, name, trust) || s.Secrets[name].DeletionTimestamp != nil {
			continue
		}
		if due := lastIssued(s, name).Add(reissueInterval); s.Now.Before(due) {
			p.again(due)
			continue
		}
		p.Delete = append(p.Delete, s.Secrets[name])
	}
}

// signedNames are the names of the certificates that an issuer of the nodes signs: those of
// the nodes and of the probe, the canary, and the intermediate CA.
func signedNames(s state.State) []string {
	names := []string{s.Names.Intermediate(), s.Names.Certificate(s.Names.Canary())}
	for _, owner := range s.CertificateOwners() {
		names = append(names, s.Names.Certificate(owner))
	}
	return names
}

// foreign reports whether a stored certificate is of no CA of a trust bundle, nor of the one
// that its issuer signs with, although that is known. A canary is to show whether the nodes
// trust the latter, so no other will do.
func foreign(s state.State, name string, trust certs.Trust) bool {
	certificate, stored := s.Stored(name)
	issuer, named := s.IssuerNamedBy(name)
	if !stored || !named || s.CAOf(issuer).Empty() {
		return false
	}
	if by, _ := s.IssuedBy(s.Names.Canary()); name == s.Names.Certificate(s.Names.Canary()) && by == issuer {
		trust = certs.Trust{}
	}
	return trust.Union(s.CAOf(issuer)).IssuingCA(certificate.X509) == nil
}

// lastIssued is when cert-manager was last asked for a certificate, or made its Secret.
// Only the API server sets these times.
func lastIssued(s state.State, name string) time.Time {
	last := s.Secrets[name].CreationTimestamp.Time
	if request := s.Requests[name]; request != nil && request.CreationTimestamp.After(last) {
		last = request.CreationTimestamp.Time
	}
	return last
}

// deletes reports whether the plan deletes the Secret of that name.
func (p *Plan) deletes(secret string) bool {
	return slices.ContainsFunc(p.Delete, func(object state.Object) bool { return kindOf(object) == "Secret" && object.GetName() == secret })
}
