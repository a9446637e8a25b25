package sweep

import "context"

// tryCertificates finds out whether a verified node uses the certificate and the trust
// bundle that it should. One that does not may have both in its files without having read
// them: it is made to read them.
func (p *Pass) tryCertificates(ctx context.Context, i int) {
	outcome := &p.outcomes[i]
	if p.sessions[i] == nil {
		return
	}
	stored := p.members[i].Stored
	outcome.Outdated = stored != "" && stored != outcome.CertificateSerial
	if canary := p.verifier.Credentials.Canary; canary != nil {
		accepted, err := p.verifier.TryCanary(ctx, p.sessions[i])
		if err != nil {
			outcome.CertificatesError = err
			return
		}
		outcome.Canary = &Canary{Authority: canary.Authority, Accepted: accepted}
		outcome.Outdated = outcome.Outdated || accepted != canary.Trusted
	}
	if outcome.Outdated && !p.options.ReadOnly() {
		if err := p.sessions[i].DropPEMCache(ctx); err != nil {
			outcome.CertificatesError = err
		}
	}
}
