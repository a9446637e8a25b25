package envtest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/naming"
)

// foreignCA is a CA of somebody who can write a node's Secret.
func foreignCA(t *testing.T) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(666), Subject: pkix.Name{CommonName: "mallory"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return ca, key
}

// forge writes a certificate of the foreign CA over the one in a Secret, with its key and
// its names: cert-manager has no cause to issue it anew.
func forge(t *testing.T, namespace, name string, ca *x509.Certificate, signer crypto.Signer) {
	t.Helper()
	secret := get(t, &corev1.Secret{ObjectMeta: named(namespace, name)})
	stored, err := storedCertificate(t.Context(), namespace, name)
	if err != nil {
		t.Fatal(err)
	}
	leaf := stored.X509
	leaf.SignatureAlgorithm = x509.UnknownSignatureAlgorithm // That of the foreign key.
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, leaf.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	encoded := func(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}) }
	secret.Data[corev1.TLSCertKey], secret.Data[naming.AuthorityKey] = encoded(der), encoded(ca.Raw)
	if err := admin.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
}

// trustedCAs demands that the trust bundle does not have a CA, and counts those that it has.
func trustedCAs(ctx context.Context, namespace string, never *x509.Certificate) (int, error) {
	distribution := &corev1.ConfigMap{}
	if err := admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "chat-distribution"}, distribution); err != nil {
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
	ca, signer := foreignCA(t)
	before := map[string]certs.Certificate{}
	var err error
	startManager(t)
	for _, spec := range []string{`{}`, `spec: {tls: {issuerRef: {name: corp}}}`} {
		namespace := newNamespace(t)
		makeIssuer(t, namespace, "corp")
		create(t, merged(t, object(t, namespace, minimal), spec))
		awaitStatefulSet(t, namespace, 3)
		if before[namespace], err = storedCertificate(t.Context(), namespace, "chat-0-tls"); err != nil {
			t.Fatal(err)
		}
		forge(t, namespace, "chat-0-tls", ca, signer)
		awaitCondition(t, namespace, v1alpha1.ConditionCredentialsReady, metav1.ConditionFalse, v1alpha1.ReasonCertificateUntrusted, "chat-0-tls")
	}
	for namespace, before := range before {
		eventually(t, "another certificate of chat-0", func(ctx context.Context) error {
			if count, err := trustedCAs(ctx, namespace, ca); err != nil || count != 1 {
				t.Errorf("%d CAs are trusted: %v", count, err)
			}
			leaf, err := storedCertificate(ctx, namespace, "chat-0-tls")
			if err == nil && (leaf.X509.CheckSignatureFrom(ca) == nil || leaf.X509.Equal(before.X509)) {
				err = fmt.Errorf("it is by %s", leaf.X509.Issuer)
			}
			return err
		})
		awaitCondition(t, namespace, v1alpha1.ConditionCredentialsReady, metav1.ConditionTrue, v1alpha1.ReasonCertificatesIssued)
		if count, err := trustedCAs(t.Context(), namespace, ca); err != nil || count != 1 {
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
	if err := admin.Patch(t.Context(), clusterIn(namespace), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"replicas":1}}`))); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, certificate(namespace, "chat-2-tls"), &corev1.Secret{ObjectMeta: named(namespace, "chat-2-tls")})
	for name, uid := range map[string]types.UID{"theirs": before, byHand.Name: byHand.UID} {
		if now := get(t, &corev1.Secret{ObjectMeta: named(namespace, name)}).UID; now != uid {
			t.Errorf("Secret %s was deleted", name)
		}
	}
}
