package plan

import (
	"fmt"

	applycore "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/beam"
	"github.com/erlang-operator/erlang-operator/controllers/internal/rotation"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// distribution makes the ConfigMap with the trust bundle and the TLS options, once
// there is a CA to trust.
func distribution(p *Plan, s state.State, step rotation.CAStep) {
	if step.Trust.Empty() {
		awaited := "cert-manager to issue the CA"
		if ref := s.Cluster.Spec.TLS.IssuerRef; ref != nil {
			// Only what it signs shows the CA of an issuer of the user's.
			awaited = fmt.Sprintf("the first certificate of %s %q, with its CA", ref.Kind, ref.Name)
		}
		p.hold(v1alpha1.ReasonCertificatesPending, fmt.Sprintf("Waiting for %s; then the trust bundle is created", awaited),
			applycore.ConfigMap(s.Names.Distribution(), s.Names.Namespace))
		return
	}
	p.apply(owned(applycore.ConfigMap(s.Names.Distribution(), s.Names.Namespace), s).
		WithData(beam.Programs()).
		WithData(map[string]string{
			naming.TrustKey:      step.Trust.PEM(),
			naming.OptionsKey:    certs.Options(),
			naming.RemoteArgsKey: beam.RemoteArgs,
			naming.RelxArgsKey:   beam.RelxArgs,
		}))
}
