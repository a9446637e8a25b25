package envtest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A signer makes of the Certificates of one namespace what cert-manager makes, in a fifth of the
// time: the same objects with the same content.
type signer struct {
	namespace string
	ca        *x509.Certificate
	key       *ecdsa.PrivateKey
	signed    int
}

// sign issues what has not been issued, once the CA is there.
func (s *signer) sign(ctx context.Context) error {
	var certificates certmanager.CertificateList
	if err := admin.List(ctx, &certificates, client.InNamespace(s.namespace)); err != nil {
		return err
	}
	slices.SortFunc(certificates.Items, func(a, b certmanager.Certificate) int { // the CA first
		return map[bool]int{true: -1}[a.Spec.IsCA] - map[bool]int{true: -1}[b.Spec.IsCA]
	})
	for i := range certificates.Items {
		if certificate := &certificates.Items[i]; certificate.Status.Revision == nil && (certificate.Spec.IsCA || s.ca != nil) {
			if err := s.issue(ctx, certificate); err != nil {
				return fmt.Errorf("issue %s: %w", certificate.Name, err)
			}
			s.signed++
		}
	}
	return nil
}

func (s *signer) issue(ctx context.Context, of *certmanager.Certificate) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	leaf, err := s.certify(of, key)
	if err != nil {
		return err
	}
	if of.Spec.IsCA {
		s.ca, s.key = leaf, key
	}
	chain, authority := pemOf("CERTIFICATE", leaf.Raw), pemOf("CERTIFICATE", s.ca.Raw)
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	if err := admin.Create(ctx, secretFor(of, chain, authority, pemOf("EC PRIVATE KEY", der))); err != nil {
		return err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: leaf.Subject, DNSNames: leaf.DNSNames}, key)
	if err != nil {
		return err
	}
	if err := s.request(ctx, of, pemOf("CERTIFICATE REQUEST", csr), chain, authority); err != nil {
		return err
	}
	of.Status = certmanager.CertificateStatus{
		Revision: ptr.To(1), NotBefore: &metav1.Time{Time: leaf.NotBefore}, NotAfter: &metav1.Time{Time: leaf.NotAfter},
		RenewalTime: &metav1.Time{Time: leaf.NotAfter.Add(-of.Spec.RenewBefore.Duration)},
		Conditions: []certmanager.CertificateCondition{{Type: certmanager.CertificateConditionReady, Status: certmanagermeta.ConditionTrue,
			Reason: "Ready", Message: "Certificate is up to date and has not expired", LastTransitionTime: ptr.To(metav1.Now()), ObservedGeneration: 1}},
	}
	return admin.Status().Update(ctx, of)
}

func (s *signer) certify(of *certmanager.Certificate, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: of.Spec.CommonName}, DNSNames: of.Spec.DNSNames,
		NotBefore: time.Now().Add(-time.Second), NotAfter: time.Now().Add(of.Spec.Duration.Duration),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true, IsCA: of.Spec.IsCA,
	}
	parent, parentKey := s.ca, s.key
	if of.Spec.IsCA {
		template.KeyUsage |= x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		template.Subject.Organization = of.Spec.Subject.Organizations
		parent, parentKey = template, key
	} else {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// secretFor has what cert-manager adds to a Secret.
func secretFor(of *certmanager.Certificate, chain, authority, key []byte) *corev1.Secret {
	secret := &corev1.Secret{ObjectMeta: named(of.Namespace, of.Spec.SecretName), Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{corev1.TLSCertKey: chain, corev1.TLSPrivateKeyKey: key, "ca.crt": authority}}
	if len(of.Spec.AdditionalOutputFormats) > 0 {
		secret.Data["tls-combined.pem"] = slices.Concat(key, chain)
	}
	secret.Labels = map[string]string{"controller.cert-manager.io/fao": "true"}
	secret.Annotations = map[string]string{
		certmanager.AltNamesAnnotationKey: strings.Join(of.Spec.DNSNames, ","), certmanager.CertificateNameKey: of.Name,
		certmanager.CommonNameAnnotationKey: of.Spec.CommonName, certmanager.IPSANAnnotationKey: "", certmanager.URISANAnnotationKey: "",
		certmanager.IssuerGroupAnnotationKey: of.Spec.IssuerRef.Group, certmanager.IssuerKindAnnotationKey: of.Spec.IssuerRef.Kind,
		certmanager.IssuerNameAnnotationKey: of.Spec.IssuerRef.Name,
	}
	for name, value := range of.Spec.SecretTemplate.Labels {
		secret.Labels[name] = value
	}
	for name, value := range of.Spec.SecretTemplate.Annotations {
		secret.Annotations[name] = value
	}
	return secret
}

// request makes the CertificateRequest of a Certificate, which has been issued.
func (s *signer) request(ctx context.Context, of *certmanager.Certificate, csr, chain, authority []byte) error {
	request := &certmanager.CertificateRequest{ObjectMeta: named(of.Namespace, of.Name+"-1"), Spec: certmanager.CertificateRequestSpec{
		Request: csr, Duration: of.Spec.Duration, IsCA: of.Spec.IsCA, Usages: of.Spec.Usages, IssuerRef: of.Spec.IssuerRef}}
	request.Labels = of.Labels
	request.Annotations = map[string]string{certmanager.CertificateNameKey: of.Name,
		certmanager.CertificateRequestRevisionAnnotationKey: "1", certmanager.CertificateRequestPrivateKeyAnnotationKey: of.Name + "-x"}
	request.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(of, certmanager.SchemeGroupVersion.WithKind("Certificate"))}
	if err := admin.Create(ctx, request); err != nil {
		return err
	}
	now := ptr.To(metav1.Now())
	request.Status = certmanager.CertificateRequestStatus{Certificate: chain, CA: authority, Conditions: []certmanager.CertificateRequestCondition{
		{Type: certmanager.CertificateRequestConditionApproved, Status: certmanagermeta.ConditionTrue, LastTransitionTime: now,
			Reason: "cert-manager.io", Message: "Certificate request has been approved by cert-manager.io"},
		{Type: certmanager.CertificateRequestConditionReady, Status: certmanagermeta.ConditionTrue, LastTransitionTime: now,
			Reason: certmanager.CertificateRequestReasonIssued, Message: "Certificate fetched from issuer successfully"}}}
	return admin.Status().Update(ctx, request)
}
