package certs

import (
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	applycertmanager "github.com/cert-manager/cert-manager/pkg/client/applyconfigurations/certmanager/v1"
	applycertmanagermeta "github.com/cert-manager/cert-manager/pkg/client/applyconfigurations/meta/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
)

// PrivateCA is the chain of objects that makes a CA of the cluster's own:
// a self-signed issuer signs the CA's certificate, and an issuer signs with it.
type PrivateCA struct {
	SelfSigned  *applycertmanager.IssuerApplyConfiguration
	Certificate *applycertmanager.CertificateApplyConfiguration
	Issuer      *applycertmanager.IssuerApplyConfiguration
}

// NewPrivateCA makes the objects of a private CA of the cluster. OTP's accepting side
// checks the chain of its peer and never the name (inet_tls_dist), so the CA is
// the boundary of membership, and each cluster gets one.
func NewPrivateCA(names naming.Names, name string, spec v1alpha1.TLSSpec, secretLabels map[string]string) PrivateCA {
	return PrivateCA{
		SelfSigned: applycertmanager.Issuer(names.SelfSignedIssuer(), names.Namespace).
			WithSpec(applycertmanager.IssuerSpec().
				WithSelfSigned(applycertmanager.SelfSignedIssuer())),
		Certificate: applycertmanager.Certificate(name, names.Namespace).
			WithSpec(applycertmanager.CertificateSpec().
				WithIsCA(true).
				WithCommonName(name).
				WithSubject(applycertmanager.X509Subject().WithOrganizations(names.Namespace)).
				WithDuration(duration(spec.CA.Duration)).
				// Another CA takes its place long before. Only if that was held up is it
				// renewed as it is.
				WithRenewBefore(lastResort(spec)).
				WithPrivateKey(applycertmanager.CertificatePrivateKey().
					WithAlgorithm(certmanager.ECDSAKeyAlgorithm).
					WithSize(256).
					// A renewed CA keeps its key, so what it signed stays valid.
					WithRotationPolicy(certmanager.RotationPolicyNever)).
				WithUsages(certmanager.UsageCertSign, certmanager.UsageCRLSign, certmanager.UsageDigitalSignature).
				WithRevisionHistoryLimit(1).
				WithSecretName(name).
				WithSecretTemplate(applycertmanager.CertificateSecretTemplate().WithLabels(secretLabels)).
				WithIssuerRef(applycertmanagermeta.IssuerReference().
					WithName(names.SelfSignedIssuer()).
					WithKind(certmanager.IssuerKind).
					WithGroup(certmanager.SchemeGroupVersion.Group))),
		Issuer: applycertmanager.Issuer(name, names.Namespace).
			WithSpec(applycertmanager.IssuerSpec().
				WithCA(applycertmanager.CAIssuer().WithSecretName(name))),
	}
}

// NewMemberCertificate makes the Certificate of the node in a pod.
func NewMemberCertificate(names naming.Names, spec v1alpha1.TLSSpec, issuer v1alpha1.IssuerReference, pod string, secretLabels map[string]string) *applycertmanager.CertificateApplyConfiguration {
	return newLeaf(names, spec, issuer, pod, names.Host(pod), secretLabels)
}

// NewProbeCertificate makes the Certificate that the probe shows to the nodes.
func NewProbeCertificate(names naming.Names, spec v1alpha1.TLSSpec, issuer v1alpha1.IssuerReference, secretLabels map[string]string) *applycertmanager.CertificateApplyConfiguration {
	return newLeaf(names, spec, issuer, names.Probe(), names.ProbeHost(), secretLabels)
}

// NewCanaryCertificate makes the Certificate by which the probe finds out whether the
// nodes trust an issuer: like its own in all else.
func NewCanaryCertificate(names naming.Names, spec v1alpha1.TLSSpec, issuer v1alpha1.IssuerReference, secretLabels map[string]string) *applycertmanager.CertificateApplyConfiguration {
	return newLeaf(names, spec, issuer, names.Canary(), names.ProbeHost(), secretLabels)
}

// newLeaf makes a Certificate for one host. Every node is a client of some peers
// and a server to others, so every certificate serves for both.
func newLeaf(names naming.Names, spec v1alpha1.TLSSpec, issuer v1alpha1.IssuerReference, owner, host string, secretLabels map[string]string) *applycertmanager.CertificateApplyConfiguration {
	return applycertmanager.Certificate(names.Certificate(owner), names.Namespace).
		WithSpec(applycertmanager.CertificateSpec().
			WithCommonName(owner).
			WithDNSNames(host).
			WithDuration(duration(spec.Certificate.Duration)).
			WithRenewBefore(duration(spec.Certificate.RenewBefore)).
			WithUsages(certmanager.UsageDigitalSignature, certmanager.UsageServerAuth, certmanager.UsageClientAuth).
			WithPrivateKey(applycertmanager.CertificatePrivateKey().
				WithAlgorithm(certmanager.ECDSAKeyAlgorithm).
				WithSize(256).
				WithRotationPolicy(certmanager.RotationPolicyAlways)).
			WithAdditionalOutputFormats(applycertmanager.CertificateAdditionalOutputFormat().
				WithType(certmanager.CertificateOutputFormatCombinedPEM)).
			WithRevisionHistoryLimit(1).
			WithSecretName(names.Certificate(owner)).
			WithSecretTemplate(applycertmanager.CertificateSecretTemplate().WithLabels(secretLabels)).
			WithIssuerRef(applycertmanagermeta.IssuerReference().
				WithName(issuer.Name).WithKind(issuer.Kind).WithGroup(issuer.Group)))
}

// PrivateIssuer is the issuer of the private CA of that name.
func PrivateIssuer(ca string) v1alpha1.IssuerReference {
	return v1alpha1.IssuerReference{Name: ca, Kind: certmanager.IssuerKind, Group: certmanager.SchemeGroupVersion.Group}
}

// duration converts a duration that the CRD's validation has let through.
func duration(d v1alpha1.Duration) metav1.Duration {
	return metav1.Duration{Duration: ParseDuration(d)}
}

// ParseDuration of a duration that the CRD's validation has let through.
func ParseDuration(d v1alpha1.Duration) time.Duration {
	parsed, err := time.ParseDuration(string(d))
	if err != nil {
		return 0
	}
	return parsed
}
