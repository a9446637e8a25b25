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
// the status may hold.
func forge(t *testing.T, namespace, name string, foreign certstest.Authority) {
	t.Helper()
	secret := get(t, &corev1.Secret{ObjectMeta: named(namespace, name)})
	stored := must(storedCertificate(t.Context(), namespace, name))(t).X509
	forged := foreign.IssueTo("", stored.PublicKey, func(c *x509.Certificate) {
		*c = *stored
		c.SerialNumber = new(big.Int).Lsh(big.NewInt(1), 1600)
		c.SignatureAlgorithm = x509.UnknownSignatureAlgorithm // That of the foreign key.
	})
	secret.Data[corev1.TLSCertKey], secret.Data[naming.AuthorityKey] = certstest.PEM(forged), certstest.PEM(foreign.Certificate)
	check(t, admin.Update(t.Context(), secret))
}

// trustedCAs demands that the trust bundle does not have a CA, and counts those that it has.
func trustedCAs(ctx context.Context, namespace string, never *x509.Certificate) (int, error) {
	distribution, err := read(ctx, &corev1.ConfigMap{ObjectMeta: named(namespace, "chat-distribution")})
	if err != nil {
		return 0, err
	}
	trust, err := certs.ParseTrust([]byte(distribution.Data[naming.TrustKey]))
	if err == nil && trust.Contains(certs.Trust{}.With(never)) {
		err = fmt.Errorf("the nodes trust %s", never.Subject)
	}
	return len(trust.CAs()), err
}

// Whoever can write a node's Secret can put a certificate of any CA there. With the real
// cert-manager, nobody comes to trust that CA, and the certificate is reissued, of a
// private CA as of an issuer of the user's.
func TestForeignCAInALeafWidensNoTrust(t *testing.T) {
	foreign := certstest.NewAuthority("mallory")
	before := map[string]certs.Certificate{}
	startManager(t)
	for _, spec := range []string{`{}`, `spec: {tls: {issuerRef: {name: corp}}}`} {
		namespace := newNamespace(t)
		makeIssuer(t, namespace, "corp")
		create(t, merged(t, object(t, namespace, minimal), spec))
		awaitStatefulSet(t, namespace, 3)
		before[namespace] = must(storedCertificate(t.Context(), namespace, "chat-0-tls"))(t)
		forge(t, namespace, "chat-0-tls", foreign)
		awaitCondition(t, namespace, v1alpha1.ConditionCredentialsReady, metav1.ConditionFalse, v1alpha1.ReasonCertificateUntrusted, "chat-0-tls")
	}
	for namespace, before := range before {
		eventually(t, "another certificate of chat-0", func(ctx context.Context) error {
			if count, err := trustedCAs(ctx, namespace, foreign.Certificate); err != nil || count != 1 {
				t.Errorf("%d CAs are trusted: %v", count, err)
			}
			leaf, err := storedCertificate(ctx, namespace, "chat-0-tls")
			if err == nil && (leaf.X509.CheckSignatureFrom(foreign.Certificate) == nil || leaf.X509.Equal(before.X509)) {
				err = fmt.Errorf("it is by %s", leaf.X509.Issuer)
			}
			return err
		})
		awaitCondition(t, namespace, v1alpha1.ConditionCredentialsReady, metav1.ConditionTrue, v1alpha1.ReasonCertificatesIssued)
		if count, err := trustedCAs(t.Context(), namespace, foreign.Certificate); err != nil || count != 1 {
			t.Errorf("%d CAs are trusted: %v", count, err)
		}
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
