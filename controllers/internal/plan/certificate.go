package plan

import (
	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	applycertmanager "github.com/cert-manager/cert-manager/pkg/client/applyconfigurations/certmanager/v1"
	applycertmanagermeta "github.com/cert-manager/cert-manager/pkg/client/applyconfigurations/meta/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/controllers/internal/rotation"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// keySize is that of every key, which are all ECDSA: P-256, which the API server allows
// for PodCertificates too.
const keySize = 256

// certificates plans the private CAs that are needed, a Certificate for the probe and
// for every node, and the canary.
func certificates(p *Plan, s state.State, step rotation.CAStep) {
	for i, name := range step.CAs {
		if i == 0 {
			p.apply(selfSignedIssuer(s))
		}
		p.apply(caCertificate(s, name), caIssuer(s, name))
	}
	if ref := s.Cluster.Spec.TLS.IssuerRef; ref != nil {
		checkIssuer(p, s, *ref)
	}
	p.apply(leafCertificate(s, step.Issuer, s.Names.Probe(), s.Names.ProbeHost()))
	if deliveryInUse(s, v1alpha1.DeliveryPodCertificate) {
		p.apply(intermediateCertificate(s, step.Issuer))
		checkIntermediate(p, s)
	}
	if deliveryInUse(s, v1alpha1.DeliverySecret) {
		for _, pod := range s.Names.Pods(s.Replicas()) {
			p.apply(leafCertificate(s, step.Issuer, pod, s.Names.Host(pod)))
		}
	}
	if step.Canary != nil {
		// Like the probe's own in all but the issuer, which it shows whether the nodes trust.
		p.apply(leafCertificate(s, *step.Canary, s.Names.Canary(), s.Names.ProbeHost()))
	}
	p.rotate(step.Step)
}

// caCertificate is that of a private CA of the cluster. OTP's accepting side checks the
// chain of its peer and never the name (inet_tls_dist), so the CA is the boundary of
// membership, and each cluster gets one.
func caCertificate(s state.State, name string) *applycertmanager.CertificateApplyConfiguration {
	tls := s.Cluster.Spec.TLS
	return certificate(s, name, certs.PrivateIssuer(s.Names.SelfSignedIssuer()), applycertmanager.CertificateSpec().
		WithIsCA(true).
		WithCommonName(name).
		WithSubject(applycertmanager.X509Subject().WithOrganizations(s.Names.Namespace)).
		WithDuration(metav1.Duration{Duration: certs.ParseDuration(tls.CA.Duration)}).
		// Another CA takes its place long before. Only if that was held up is it renewed as
		// it is.
		WithRenewBefore(metav1.Duration{Duration: certs.CARenewBefore(tls)}).
		// A renewed CA keeps its key, so what it signed stays valid.
		WithPrivateKey(privateKey(certmanager.RotationPolicyNever)).
		WithUsages(certmanager.UsageCertSign, certmanager.UsageCRLSign, certmanager.UsageDigitalSignature))
}

// intermediateCertificate is that of the CA that the manager signs with when kubelets
// ask. cert-manager cannot be asked in its place: a kubelet's request is empty, and
// cert-manager signs what is in the request. Whoever trusts the issuer's root must not
// accept other names from it than those of the nodes. The private CA has no name
// constraints, because OTP ignores those of a root.
func intermediateCertificate(s state.State, issuer v1alpha1.IssuerReference) *applycertmanager.CertificateApplyConfiguration {
	return certificate(s, s.Names.Intermediate(), issuer, applycertmanager.CertificateSpec().
		WithIsCA(true).
		WithCommonName(s.Names.Intermediate()).
		WithSubject(applycertmanager.X509Subject().WithOrganizations(s.Names.Namespace)).
		WithDuration(metav1.Duration{Duration: certs.IntermediateLifetime(s.Cluster.Spec.TLS)}).
		WithNameConstraints(applycertmanager.NameConstraints().WithCritical(true).
			WithPermitted(applycertmanager.NameConstraintItem().WithDNSDomains(s.Names.Domain()))).
		// The key that signed a certificate shows which CA was above the intermediate.
		WithPrivateKey(privateKey(certmanager.RotationPolicyAlways)).
		WithUsages(certmanager.UsageCertSign, certmanager.UsageDigitalSignature))
}

// leafCertificate is for one host. Every node is a client of some peers and a server to
// others, so every certificate serves for both.
func leafCertificate(s state.State, issuer v1alpha1.IssuerReference, owner, host string) *applycertmanager.CertificateApplyConfiguration {
	lifetime := s.Cluster.Spec.TLS.Certificate
	return certificate(s, s.Names.Certificate(owner), issuer, applycertmanager.CertificateSpec().
		WithCommonName(owner).
		WithDNSNames(host).
		WithDuration(metav1.Duration{Duration: certs.ParseDuration(lifetime.Duration)}).
		WithRenewBefore(metav1.Duration{Duration: certs.RenewBefore(lifetime)}).
		WithPrivateKey(privateKey(certmanager.RotationPolicyAlways)).
		WithAdditionalOutputFormats(applycertmanager.CertificateAdditionalOutputFormat().
			WithType(certmanager.CertificateOutputFormatCombinedPEM)).
		WithUsages(certmanager.UsageDigitalSignature, certmanager.UsageServerAuth, certmanager.UsageClientAuth))
}

// certificate adds what all Certificates have in common. The Secret has the name of its
// Certificate.
func certificate(s state.State, name string, issuer v1alpha1.IssuerReference, spec *applycertmanager.CertificateSpecApplyConfiguration) *applycertmanager.CertificateApplyConfiguration {
	return owned(applycertmanager.Certificate(name, s.Names.Namespace), s).WithSpec(spec.
		WithRevisionHistoryLimit(1).
		WithSecretName(name).
		WithSecretTemplate(applycertmanager.CertificateSecretTemplate().
			WithLabels(Labels(s.Names.Cluster)).
			WithAnnotations(map[string]string{AnnotationClusterUID: string(s.Cluster.UID)})).
		WithIssuerRef(applycertmanagermeta.IssuerReference().
			WithName(issuer.Name).WithKind(issuer.Kind).WithGroup(issuer.Group)))
}

func privateKey(policy certmanager.PrivateKeyRotationPolicy) *applycertmanager.CertificatePrivateKeyApplyConfiguration {
	return applycertmanager.CertificatePrivateKey().
		WithAlgorithm(certmanager.ECDSAKeyAlgorithm).
		WithSize(keySize).
		WithRotationPolicy(policy)
}
