package envtest

import (
	"context"
	"crypto/x509"
	"fmt"
	"math/big"
	"testing"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/certstest"
	"github.com/erlang-operator/erlang-operator/certs/naming"
)

// forge writes a certificate of the foreign CA over the one in a Secret, with its key and
// its names: cert-manager has no cause to issue it anew. Its serial number is longer than
// the status may hold. It returns the certificate that was there; nil if it is forged already.
func forge(ctx context.Context, namespace, name string, foreign certstest.Authority) (*x509.Certificate, error) {
	secret, err := read(ctx, &corev1.Secret{ObjectMeta: named(namespace, name)})
	if err != nil {
		return nil, err
	}
	certificate, err := certs.ParseCertificate(secret.Data[corev1.TLSCertKey], secret.Data[naming.AuthorityKey])
	if err != nil || certificate.X509.CheckSignatureFrom(foreign.Certificate) == nil {
		return nil, err
	}
	stored := certificate.X509
	forged := foreign.IssueTo("", stored.PublicKey, func(c *x509.Certificate) {
		*c = *stored
		c.SerialNumber = new(big.Int).Lsh(big.NewInt(1), 1600)
		c.SignatureAlgorithm = x509.UnknownSignatureAlgorithm // That of the foreign key.
	})
	secret.Data[corev1.TLSCertKey], secret.Data[naming.AuthorityKey] = certstest.PEM(forged), certstest.PEM(foreign.Certificate)
	return stored, admin.Update(ctx, secret)
}

// expectOneCA demands that the nodes trust one CA, and not this one.
func expectOneCA(ctx context.Context, t *testing.T, namespace string, never *x509.Certificate) error {
	t.Helper()
	distribution, err := read(ctx, &corev1.ConfigMap{ObjectMeta: named(namespace, "chat-distribution")})
	if err != nil {
		return err
	}
	trust, err := certs.ParseTrust([]byte(distribution.Data[naming.TrustKey]))
	if err != nil {
		t.Errorf("the trust bundle: %v", err)
		return nil
	}
	trusted := trustedCAs(trust)
	if len(trusted) != 1 || trusted[0] == certs.Identity(never) {
		t.Errorf("the nodes trust %v, and %s is %s", trusted, never.Subject, certs.Identity(never))
	}
	return nil
}

// Whoever can write a node's Secret can put a certificate of any CA there. With the real
// cert-manager, nobody comes to trust that CA, and the certificate is reissued, of a
// private CA as of an issuer of the user's.
func TestForeignCAInALeafWidensNoTrust(t *testing.T) {
	foreign := certstest.NewAuthority("mallory")
	before := map[string]*x509.Certificate{}
	startManager(t)
	for _, spec := range []string{`{}`, `spec: {tls: {issuerRef: {name: corp}}}`} {
		namespace := newNamespace(t)
		makeIssuer(t, namespace, "corp")
		create(t, merged(t, object(t, namespace, minimal), spec))
		awaitStatefulSet(t, namespace, 3)
		// Again, if cert-manager issues it twice, or it was deleted before anybody has seen what was reported.
		eventually(t, "the forged certificate is reported", func(ctx context.Context) error {
			stored, err := forge(ctx, namespace, "chat-0-tls", foreign)
			if err != nil {
				return err
			}
			if stored != nil {
				before[namespace] = stored
			}
			_, err = findCondition(ctx, namespace, v1alpha1.ConditionCredentialsReady, metav1.ConditionFalse, v1alpha1.ReasonCertificateUntrusted, "chat-0-tls")
			return err
		})
	}
	for namespace, before := range before {
		eventually(t, "another certificate of chat-0", func(ctx context.Context) error {
			if err := expectOneCA(ctx, t, namespace, foreign.Certificate); err != nil {
				return err
			}
			leaf, err := storedCertificate(ctx, namespace, "chat-0-tls")
			if err == nil && (leaf.X509.CheckSignatureFrom(foreign.Certificate) == nil || leaf.X509.Equal(before)) {
				err = fmt.Errorf("it is by %s", leaf.X509.Issuer)
			}
			return err
		})
		awaitCondition(t, namespace, v1alpha1.ConditionCredentialsReady, metav1.ConditionTrue, v1alpha1.ReasonCertificatesIssued)
		check(t, expectOneCA(t.Context(), t, namespace, foreign.Certificate))
	}
}

// Secrets of users may have our labels, and cert-manager's annotation: a Certificate of
// theirs whose secretTemplate has them, and one made by hand. They are left alone.
func TestForeignSecretsAreNotDeleted(t *testing.T) {
	namespace := newNamespace(t)
	makeIssuer(t, namespace, "corp")
	labels := map[string]string{v1alpha1.Group + "/cluster": "chat"}
	create(t, &certmanagerv1.Certificate{ObjectMeta: named(namespace, "theirs"), Spec: certmanagerv1.CertificateSpec{
		CommonName: "theirs", SecretName: "theirs", IssuerRef: certmanagermeta.IssuerReference{Name: "corp"},
		SecretTemplate: &certmanagerv1.CertificateSecretTemplate{Labels: labels},
	}})
	byHand := &corev1.Secret{ObjectMeta: named(namespace, "by-hand")}
	byHand.Labels, byHand.Annotations = labels, map[string]string{certmanagerv1.CertificateNameKey: "by-hand"}
	create(t, byHand)
	eventually(t, "their certificate", func(ctx context.Context) error {
		_, err := storedCertificate(ctx, namespace, "theirs")
		return err
	})
	before := get(t, &corev1.Secret{ObjectMeta: named(namespace, "theirs")}).UID

	create(t, object(t, namespace, minimal))
	startManager(t)
	awaitStatefulSet(t, namespace, 3)
	scale(t, namespace, 1)
	awaitGone(t, certificate(namespace, "chat-2-tls"), &corev1.Secret{ObjectMeta: named(namespace, "chat-2-tls")})
	for name, uid := range map[string]types.UID{"theirs": before, byHand.Name: byHand.UID} {
		if now := get(t, &corev1.Secret{ObjectMeta: named(namespace, name)}).UID; now != uid {
			t.Errorf("Secret %s was deleted", name)
		}
	}
}
