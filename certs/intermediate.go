package certs

import (
	"crypto/x509"
	"slices"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	applycertmanager "github.com/cert-manager/cert-manager/pkg/client/applyconfigurations/certmanager/v1"
	applycertmanagermeta "github.com/cert-manager/cert-manager/pkg/client/applyconfigurations/meta/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
)

// SignerName is the name by which a pod's volume asks for the certificate of its
// node, and the manager's ClusterRole lets it sign.
const SignerName = v1alpha1.Group + "/member"

// Bounds of the lifetime of a certificate that a kubelet asks for (API server's own).
const (
	MinPodCertificateLifetime = time.Hour
	MaxPodCertificateLifetime = 91 * 24 * time.Hour
)

// PodCertificateLifetime is how long a certificate that a kubelet asks for shall
// live.
func PodCertificateLifetime(spec v1alpha1.TLSSpec) time.Duration {
	return min(max(duration(spec.Certificate.Duration).Duration, MinPodCertificateLifetime), MaxPodCertificateLifetime)
}

// NewIntermediate makes the Certificate of the CA that the manager signs with when
// kubelets ask. cert-manager cannot be asked in its place: a kubelet's request is
// empty, and cert-manager signs what is in the request.
func NewIntermediate(names naming.Names, spec v1alpha1.TLSSpec, issuer v1alpha1.IssuerReference, secretLabels map[string]string) *applycertmanager.CertificateApplyConfiguration {
	return applycertmanager.Certificate(names.Intermediate(), names.Namespace).
		WithSpec(applycertmanager.CertificateSpec().
			WithIsCA(true).
			WithCommonName(names.Intermediate()).
			WithSubject(applycertmanager.X509Subject().WithOrganizations(names.Namespace)).
			WithDuration(intermediateLifetime(spec)).
			WithUsages(certmanager.UsageCertSign, certmanager.UsageDigitalSignature).
			WithPrivateKey(applycertmanager.CertificatePrivateKey().
				WithAlgorithm(certmanager.ECDSAKeyAlgorithm).
				WithSize(256).
				// What a key has signed shows by it which CA that was below.
				WithRotationPolicy(certmanager.RotationPolicyAlways)).
			WithRevisionHistoryLimit(1).
			WithSecretName(names.Intermediate()).
			WithSecretTemplate(applycertmanager.CertificateSecretTemplate().WithLabels(secretLabels)).
			WithIssuerRef(applycertmanagermeta.IssuerReference().
				WithName(issuer.Name).WithKind(issuer.Kind).WithGroup(issuer.Group)))
}

// intermediateLifetime: cert-manager renews the intermediate after two thirds of its
// time, so that with three times the life of what it signs there is always enough
// left. It is not longer than what a private CA has left when another one takes its
// place.
func intermediateLifetime(spec v1alpha1.TLSSpec) metav1.Duration {
	lifetime := 3 * PodCertificateLifetime(spec)
	if ca := duration(spec.CA.Duration).Duration; spec.IssuerRef == nil && ca > 0 {
		lifetime = min(lifetime, ca/2)
	}
	return metav1.Duration{Duration: lifetime}
}

// JudgeIntermediate says what is wrong with a certificate as that of a CA that signs
// the nodes' certificates, at a time and under a trust; nil when nothing is.
func (l Certificate) JudgeIntermediate(trust Trust, now time.Time) *Fault {
	if fault := outOfTime(l.X509, now); fault != nil {
		return fault
	}
	if certificate := l.X509; !certificate.IsCA || certificate.KeyUsage != 0 && certificate.KeyUsage&x509.KeyUsageCertSign == 0 {
		return &Fault{v1alpha1.ReasonIssuerGivesNoCA, "is not that of a CA, though that was asked for"}
	}
	chains, fault := l.chains(trust, now)
	if fault != nil {
		return fault
	}
	if !slices.ContainsFunc(chains, roomForOneMore) {
		return &Fault{v1alpha1.ReasonIssuerGivesNoCA,
			"is that of a CA which may not sign: the path length of a CA above it leaves no room for one below"}
	}
	return nil
}

// roomForOneMore says that the path lengths of a chain allow a certificate below it.
func roomForOneMore(chain []*x509.Certificate) bool {
	for below, ca := range chain {
		if ca.MaxPathLen >= 0 && ca.MaxPathLen < below {
			return false
		}
	}
	return true
}

// Chain is what comes with a leaf that this CA signs: its own certificate and those
// above it, without roots, which the other side has.
func (l Certificate) Chain() []*x509.Certificate {
	var chain []*x509.Certificate
	for _, ca := range append([]*x509.Certificate{l.X509}, l.Above...) {
		if ca.CheckSignatureFrom(ca) != nil && !slices.ContainsFunc(chain, ca.Equal) {
			chain = append(chain, ca)
		}
	}
	return chain
}
