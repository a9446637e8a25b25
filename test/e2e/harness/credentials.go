package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// CreateIssuer creates a CA issuer of the user's own, and waits until it has its CA.
func CreateIssuer(t testing.TB, namespace, name string) {
	t.Helper()
	kubectl.MustApply(t, Issuer(namespace, name))
	AwaitIssued(t, namespace, name+"-root")
}

// AwaitIssued waits until cert-manager has issued a certificate. If that fails it is tried again: of some
// hundreds of new CAs one fails by a race of cert-manager's own (its issue 6331), which waits for an hour then.
func AwaitIssued(t testing.TB, namespace, certificate string) {
	t.Helper()
	await.Until(t, 4*time.Minute, "certificate "+certificate+" is issued", func(ctx context.Context) error {
		state, err := kubectl.Run(ctx, "get", "certificate", certificate, "-n", namespace, "-o",
			`jsonpath={.status.conditions[?(@.type=="Ready")].status} {.status.conditions[?(@.type=="Issuing")].status} {.status.lastFailureTime}`)
		if err != nil || strings.HasPrefix(state, "True ") {
			return err
		}
		// A failure is one of the issuance before only if that is older by a second or more.
		failed, err := time.Parse("False False "+time.RFC3339, state)
		if err != nil || time.Since(failed) < 2*time.Second {
			return fmt.Errorf("conditions Ready and Issuing, and the last failure: %q", state)
		}
		t.Logf("cert-manager could not issue certificate %s", certificate)
		return errors.Join(errors.New("its issuance has failed"), kubectl.Apply(ctx, issuing(namespace, certificate), issuingBy...))
	})
}

// issuing is the manifest of a Certificate that cert-manager is to issue now, and issuingBy is how `cmctl
// renew` applies it.
func issuing(namespace, certificate string) string {
	return fmt.Sprintf(`---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: %s, namespace: %s}
status:
  conditions: [{type: Issuing, status: "True", reason: ManuallyTriggered, message: requested by a test, lastTransitionTime: %q}]
`, certificate, namespace, time.Now().UTC().Format(time.RFC3339))
}

var issuingBy = []string{"--server-side", "--force-conflicts", "--field-manager=cmctl", "--subresource=status"}

// Issuer is the manifest of a CA issuer of the user's own. Its CA keeps its key if cert-manager issues it
// twice, which it does if its caches are late.
func Issuer(namespace, name string) string {
	return strings.NewReplacer("NAMESPACE", namespace, "NAME", name).Replace(`
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: NAME-root, namespace: NAMESPACE}
spec: {selfSigned: {}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: NAME-root, namespace: NAMESPACE}
spec:
  isCA: true
  commonName: NAME
  secretName: NAME-root
  privateKey: {algorithm: ECDSA, size: 256, rotationPolicy: Never}
  issuerRef: {name: NAME-root, kind: Issuer, group: cert-manager.io}
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: NAME, namespace: NAMESPACE}
spec: {ca: {secretName: NAME-root}}
`)
}

// secret reads a Secret of the cluster's namespace.
func (c Cluster) secret(ctx context.Context, name string) (corev1.Secret, error) {
	var secret corev1.Secret
	return secret, kubectl.Get(ctx, &secret, "secret", name, "-n", c.Namespace)
}

// Cookie is the cookie that the nodes should have.
func (c Cluster) Cookie(ctx context.Context) (string, error) {
	secret, err := c.secret(ctx, c.Name+"-cookie")
	return string(secret.Data[naming.CookieKey]), err
}

// AwaitCookie waits until every member is proven to run with another cookie than before,
// and the former one is deleted.
func (c Cluster) AwaitCookie(t testing.TB, within time.Duration, before string) {
	t.Helper()
	await.Until(t, within, "the cookie has changed", func(ctx context.Context) error {
		secret, err := c.secret(ctx, c.Name+"-cookie")
		switch {
		case err != nil:
			return err
		case secret.Data[naming.PreviousCookieKey] != nil:
			return fmt.Errorf("the former cookie is still there")
		case string(secret.Data[naming.CookieKey]) == before:
			return fmt.Errorf("it is still the same")
		}
		return nil
	})
}

// RotateCookie has the members change to another cookie.
func (c Cluster) RotateCookie(t testing.TB, members int, id string) {
	t.Helper()
	before, begun := Must(c.Cookie(t.Context()))(t), time.Now()
	c.Patch(t, `{"cookie":{"rotationID":%q}}`, id)
	c.AwaitCookie(t, 3*time.Minute, before)
	t.Logf("the rotation of the cookie of %d members took %s", members, time.Since(begun).Round(time.Second))
}

// trustBundle is what the nodes should trust, in PEM.
func (c Cluster) trustBundle(ctx context.Context) (string, error) {
	var distribution corev1.ConfigMap
	err := kubectl.Get(ctx, &distribution, "configmap", c.Name+"-distribution", "-n", c.Namespace)
	return distribution.Data[naming.TrustKey], err
}

// TrustedCAs is how many CAs the nodes should trust.
func (c Cluster) TrustedCAs(ctx context.Context) (int, error) {
	bundle, err := c.trustBundle(ctx)
	return strings.Count(bundle, "BEGIN CERTIFICATE"), err
}

// ServedCA is the CA of the certificates that the members serve, as the probe has seen
// it. When they differ, it is an error.
func (c Cluster) ServedCA(ctx context.Context) (string, error) {
	mesh, err := c.Mesh(ctx)
	if err != nil {
		return "", err
	}
	first := mesh.Nodes[0]
	for _, node := range mesh.Nodes {
		if node.CertificateAuthority != first.CertificateAuthority || node.CertificateAuthority == "" {
			return "", fmt.Errorf("%s serves a certificate of CA %q, and %s of %q", node.Pod, node.CertificateAuthority, first.Pod, first.CertificateAuthority)
		}
	}
	return first.CertificateAuthority, nil
}

// AwaitCA waits until every member serves a certificate of another CA than before, the
// former one is neither trusted nor stored, and the Secrets of private CAs are those
// given. It returns the new CA.
func (c Cluster) AwaitCA(t testing.TB, within time.Duration, before string, secrets ...string) (ca string) {
	t.Helper()
	await.Until(t, within, "the CA has changed", func(ctx context.Context) (err error) {
		if ca, err = c.ServedCA(ctx); err != nil {
			return err
		}
		if ca == before {
			return fmt.Errorf("it is still the same")
		}
		if count, err := c.TrustedCAs(ctx); err != nil {
			return err
		} else if count != 1 {
			return fmt.Errorf("%d CAs are trusted", count)
		}
		var stored corev1.SecretList
		if err := kubectl.Get(ctx, &stored, "secrets", "-n", c.Namespace); err != nil {
			return err
		}
		var names []string
		for _, secret := range stored.Items {
			if strings.HasPrefix(secret.Name, c.Name+"-ca") || strings.Contains(secret.Name, "canary") {
				names = append(names, secret.Name)
			}
		}
		if !slices.Equal(names, secrets) {
			return fmt.Errorf("there are the Secrets %v, want %v", names, secrets)
		}
		return nil
	})
	return ca
}

// RotateCA has the members change to another private CA.
func (c Cluster) RotateCA(t testing.TB, members int, id string) {
	t.Helper()
	before, begun := Must(c.ServedCA(t.Context()))(t), time.Now()
	c.Patch(t, `{"tls":{"ca":{"rotationID":%q}}}`, id)
	c.AwaitCA(t, 6*time.Minute, before, naming.Names{Cluster: c.Name}.CA(id))
	t.Logf("the rotation of the CA of %d members took %s", members, time.Since(begun).Round(time.Second))
}

// Serials are the serial numbers of the certificates that the members serve, by pod, as
// the probe has seen them.
func (c Cluster) Serials(ctx context.Context) (map[string]string, error) {
	mesh, err := c.Mesh(ctx)
	if err != nil {
		return nil, err
	}
	serials := map[string]string{}
	for _, node := range mesh.Nodes {
		serials[node.Pod] = node.CertificateSerial
	}
	return serials, nil
}

// ForceRenewal asks cert-manager for new certificates of the first members, as
// `cmctl renew` does.
func (c Cluster) ForceRenewal(ctx context.Context, members int) error {
	var manifest strings.Builder
	for ordinal := range members {
		manifest.WriteString(issuing(c.Namespace, c.Pod(ordinal)+"-tls"))
	}
	return kubectl.Apply(ctx, manifest.String(), issuingBy...)
}

// Renewed returns an error as long as a member serves the certificate of before.
func (c Cluster) Renewed(ctx context.Context, before map[string]string) error {
	now, err := c.Serials(ctx)
	if err != nil {
		return err
	}
	for pod, serial := range before {
		if now[pod] == "" || now[pod] == serial {
			return fmt.Errorf("%s serves certificate %q, as before", pod, now[pod])
		}
	}
	return nil
}

// AwaitRenewed waits until every member serves another certificate than before.
func (c Cluster) AwaitRenewed(t testing.TB, before map[string]string) {
	t.Helper()
	await.Until(t, 4*time.Minute, "every member serves another certificate", func(ctx context.Context) error { return c.Renewed(ctx, before) })
}

// RenewCertificates has the certificate of every member renewed, and waits until each
// serves the new one.
func (c Cluster) RenewCertificates(t testing.TB, members int) {
	t.Helper()
	before, begun := Must(c.Serials(t.Context()))(t), time.Now()
	if err := c.ForceRenewal(t.Context(), members); err != nil {
		t.Fatal(err)
	}
	c.AwaitRenewed(t, before)
	t.Logf("the renewal of %d certificates took %s", members, time.Since(begun).Round(time.Second))
}

// SecretsWithKeys are the Secrets of the namespace that hold a private key, but for those that
// cert-manager keeps while it issues a certificate.
func (c Cluster) SecretsWithKeys(ctx context.Context) ([]string, error) {
	var secrets corev1.SecretList
	if err := kubectl.Get(ctx, &secrets, "secrets", "-n", c.Namespace, "-l", "!cert-manager.io/next-private-key"); err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, secret := range secrets.Items {
		for _, value := range secret.Data {
			if bytes.Contains(value, []byte("PRIVATE KEY")) {
				names[secret.Name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}
