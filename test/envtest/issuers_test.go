package envtest

import (
	"context"
	"crypto/x509"
	"fmt"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/certstest"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/test/await"
)

// Whatever an external issuer does with a request is reported in a condition.
func TestExternalIssuer(t *testing.T) {
	const month = 720 * time.Hour
	corp := certstest.NewAuthority("corp")
	below := corp.Intermediate("below corp")
	ending := certstest.NewAuthority("ending", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(20 * 24 * time.Hour) })
	given := func(ca certstest.Authority, edits ...func(*x509.Certificate)) reply {
		return func(asked *x509.CertificateRequest, request *certmanagerv1.CertificateRequest) {
			leaf := ca.IssueTo(hostOf(asked), asked.PublicKey, append([]func(*x509.Certificate){validFor(month)}, edits...)...)
			issue(request, leaf, ca.Certificate)
		}
	}
	const yes, no = metav1.ConditionTrue, metav1.ConditionFalse
	for name, test := range map[string]struct {
		reply     reply
		condition string
		status    metav1.ConditionStatus
		reason    string
		message   string
	}{
		"as requested": {given(corp), v1alpha1.ConditionCredentialsReady, yes, v1alpha1.ReasonCertificatesIssued, ""},
		"no answer": {nil, v1alpha1.ConditionCredentialsReady, no, v1alpha1.ReasonCertificatesPending,
			"no controller has processed CertificateRequest chat-0-tls-1: check that the controller of Corporate.example.com is running"},
		"pending": {func(_ *x509.CertificateRequest, request *certmanagerv1.CertificateRequest) {
			setReady(request, certmanagermeta.ConditionFalse, certmanagerv1.CertificateRequestReasonPending, "the clerk is away")
		}, v1alpha1.ConditionCredentialsReady, no, v1alpha1.ReasonCertificatesPending, "CertificateRequest chat-0-tls-1: the clerk is away"},
		"failed": {func(_ *x509.CertificateRequest, request *certmanagerv1.CertificateRequest) {
			request.Status.FailureTime = &metav1.Time{Time: time.Now()}
			setReady(request, certmanagermeta.ConditionFalse, certmanagerv1.CertificateRequestReasonFailed, "no such names here")
		}, v1alpha1.ConditionCredentialsReady, no, v1alpha1.ReasonCertificateRefused, "no such names here"},
		"another key": {func(_ *x509.CertificateRequest, request *certmanagerv1.CertificateRequest) {
			issue(request, corp.Issue("elsewhere", validFor(month)), corp.Certificate)
		}, v1alpha1.ConditionCredentialsReady, no, v1alpha1.ReasonCertificateRefused, "public key"},
		"no SAN": {given(corp, func(c *x509.Certificate) { c.DNSNames = nil }),
			v1alpha1.ConditionCredentialsReady, no, v1alpha1.ReasonCertificateNameMismatch, "has no DNS SAN chat-0.chat-nodes"},
		"for servers only": {given(corp, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }),
			v1alpha1.ConditionCredentialsReady, no, v1alpha1.ReasonCertificateUnusable, "clientAuth"},
		"valid for a day": {given(corp, validFor(24*time.Hour)),
			v1alpha1.ConditionCertificateShortLived, yes, v1alpha1.ReasonCertificateShortLived, "is valid for 24h1m0s, although 720h0m0s was requested"},
		"outlives the CA": {given(ending),
			v1alpha1.ConditionCertificateExpiring, yes, v1alpha1.ReasonCAExpiring, `The CA "CN=ending", which the nodes trust, expires in 19d`},
		"a chain and the root": {func(asked *x509.CertificateRequest, request *certmanagerv1.CertificateRequest) {
			issue(request, below.IssueTo(hostOf(asked), asked.PublicKey, validFor(month)), corp.Certificate, below.Certificate)
		}, v1alpha1.ConditionCredentialsReady, yes, v1alpha1.ReasonCertificatesIssued, ""},
		"a chain without a root": {func(asked *x509.CertificateRequest, request *certmanagerv1.CertificateRequest) {
			issue(request, below.IssueTo(hostOf(asked), asked.PublicKey, validFor(month)), nil, below.Certificate)
		}, v1alpha1.ConditionStalled, yes, v1alpha1.ReasonIssuerGivesNoRoot, "gave the certificate in Secret chat-probe-tls without the CAs above it"},
	} {
		t.Run(name, func(t *testing.T) {
			namespace := newNamespace(t)
			create(t, merged(t, object(t, namespace, minimal),
				`spec: {replicas: 1, tls: {issuerRef: {group: example.com, kind: Corporate, name: corp}}}`))
			startManager(t)
			if test.reply != nil {
				for _, name := range []string{"chat-0-tls", "chat-probe-tls"} {
					answer(t, namespace, name, test.reply)
				}
			}
			awaitCondition(t, namespace, test.condition, test.status, test.reason, test.message)
			if name == "a chain and the root" {
				bundle := get(t, &corev1.ConfigMap{ObjectMeta: named(namespace, "chat-distribution")}).Data[naming.TrustKey]
				if want := (certs.Trust{}).With(corp.Certificate, below.Certificate).PEM(); bundle != want {
					t.Errorf("the trust bundle is\n%swant\n%s", bundle, want)
				}
			}
		})
	}
}

// An issuer of a kind that this Kubernetes does not have makes the cluster Stalled, until
// the kind exists.
func TestIssuerOfAnUnknownKind(t *testing.T) {
	namespace := newNamespace(t)
	create(t, merged(t, object(t, namespace, minimal),
		`spec: {tls: {issuerRef: {group: pki.example.com, kind: Registrar, name: corp}}}`))
	startManager(t)
	awaitCondition(t, namespace, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonIssuerKindUnknown,
		`tls.issuerRef: this Kubernetes has no kind "Registrar" in the group "pki.example.com"`)

	check(t, admin.Create(t.Context(), registrars()))
	t.Cleanup(func() { _ = admin.Delete(context.Background(), registrars()) })
	eventually(t, "the kind", func(ctx context.Context) error {
		crd, err := read(ctx, registrars())
		if err != nil {
			return err
		}
		for _, condition := range crd.Status.Conditions {
			if condition.Type == apiextensionsv1.Established && condition.Status == apiextensionsv1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("it has %+v", crd.Status.Conditions)
	})
	await.Until(t, 2*time.Minute, "the condition Stalled is removed", func(ctx context.Context) error {
		cluster := clusterIn(namespace)
		touched := fmt.Sprintf(`{"metadata":{"annotations":{"touched":%q}}}`, time.Now())
		err := admin.Patch(ctx, cluster, client.RawPatch(types.MergePatchType, []byte(touched)))
		if err == nil && meta.FindStatusCondition(cluster.Status.Conditions, v1alpha1.ConditionStalled) != nil {
			err = fmt.Errorf("there are %s", summary(cluster))
		}
		return err
	})
}

func registrars() *apiextensionsv1.CustomResourceDefinition {
	preserve := true
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "registrars.pki.example.com"},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "pki.example.com", Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "registrars", Singular: "registrar", Kind: "Registrar", ListKind: "RegistrarList"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{Name: "v1", Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: &preserve}}}},
		},
	}
}
