package envtest

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/certstest"
	"github.com/erlang-operator/erlang-operator/certs/naming"
)

// reply is what an external issuer makes of a request.
type reply func(asked *x509.CertificateRequest, request *certmanagerv1.CertificateRequest)

// answer has an issuer reply to what cert-manager asks for a Certificate.
func answer(t *testing.T, namespace, name string, reply reply) {
	t.Helper()
	eventually(t, "cert-manager asks for "+name, func(ctx context.Context) error {
		var requests certmanagerv1.CertificateRequestList
		if err := admin.List(ctx, &requests, client.InNamespace(namespace)); err != nil {
			return err
		}
		for _, request := range requests.Items {
			if request.Annotations[certmanagerv1.CertificateNameKey] != name {
				continue
			}
			block, _ := pem.Decode(request.Spec.Request)
			asked, err := x509.ParseCertificateRequest(block.Bytes)
			if err != nil {
				return err
			}
			reply(asked, &request)
			return admin.Status().Update(ctx, &request)
		}
		return fmt.Errorf("there are %d other requests", len(requests.Items))
	})
}

func hostOf(asked *x509.CertificateRequest) string {
	if len(asked.DNSNames) > 0 {
		return asked.DNSNames[0]
	}
	return asked.Subject.CommonName
}

func validFor(life time.Duration) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(life)
	}
}

// issue gives a certificate and the CA, if any, and says so.
func issue(request *certmanagerv1.CertificateRequest, leaf, ca *x509.Certificate, chain ...*x509.Certificate) {
	request.Status.Certificate = certstest.PEM(append([]*x509.Certificate{leaf}, chain...)...)
	if ca != nil {
		request.Status.CA = certstest.PEM(ca)
	}
	says(request, certmanagermeta.ConditionTrue, certmanagerv1.CertificateRequestReasonIssued, "")
}

func says(request *certmanagerv1.CertificateRequest, status certmanagermeta.ConditionStatus, reason, message string) {
	request.Status.Conditions = append(request.Status.Conditions, certmanagerv1.CertificateRequestCondition{
		Type: certmanagerv1.CertificateRequestConditionReady, Status: status, Reason: reason, Message: message,
		LastTransitionTime: &metav1.Time{Time: time.Now()},
	})
}

// Whatever an external issuer makes of what cert-manager asks for, the condition says it.
func TestWhatIssuersGive(t *testing.T) {
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
		says      string
	}{
		"what was asked for": {given(corp), v1alpha1.ConditionCredentialsReady, yes, v1alpha1.ReasonCertificatesIssued, ""},
		"nothing": {nil, v1alpha1.ConditionCredentialsReady, no, v1alpha1.ReasonCertificatesPending,
			"no controller has processed CertificateRequest chat-0-tls-1: check that the controller of Corporate.example.com is running"},
		"time to wait": {func(_ *x509.CertificateRequest, request *certmanagerv1.CertificateRequest) {
			says(request, certmanagermeta.ConditionFalse, certmanagerv1.CertificateRequestReasonPending, "the clerk is at lunch")
		}, v1alpha1.ConditionCredentialsReady, no, v1alpha1.ReasonCertificatesPending, "CertificateRequest chat-0-tls-1: the clerk is at lunch"},
		"a refusal": {func(_ *x509.CertificateRequest, request *certmanagerv1.CertificateRequest) {
			request.Status.FailureTime = &metav1.Time{Time: time.Now()}
			says(request, certmanagermeta.ConditionFalse, certmanagerv1.CertificateRequestReasonFailed, "no such names here")
		}, v1alpha1.ConditionCredentialsReady, no, v1alpha1.ReasonCertificateRefused, "no such names here"},
		"another key": {func(_ *x509.CertificateRequest, request *certmanagerv1.CertificateRequest) {
			issue(request, corp.Issue("elsewhere", validFor(month)), corp.Certificate)
		}, v1alpha1.ConditionCredentialsReady, no, v1alpha1.ReasonCertificateRefused, "public key"},
		"no SAN": {given(corp, func(c *x509.Certificate) { c.DNSNames = nil }),
			v1alpha1.ConditionCredentialsReady, no, v1alpha1.ReasonCertificateNameMismatch, "has no DNS SAN chat-0.chat-nodes"},
		"servers only": {given(corp, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }),
			v1alpha1.ConditionCredentialsReady, no, v1alpha1.ReasonCertificateUnusable, "clientAuth"},
		"a day": {given(corp, validFor(24*time.Hour)),
			v1alpha1.ConditionCertificateShortLived, yes, v1alpha1.ReasonCertificateShortLived, "is valid for 24h1m0s, although 720h0m0s was requested"},
		"more than the CA has left": {given(ending),
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
			awaitCondition(t, namespace, test.condition, test.status, test.reason, test.says)
			if name == "a chain and the root" {
				bundle := get(t, &corev1.ConfigMap{ObjectMeta: named(namespace, "chat-distribution")}).Data[naming.TrustKey]
				if want := (certs.Trust{}).With(corp.Certificate, below.Certificate).PEM(); bundle != want {
					t.Errorf("the trust bundle is\n%swant\n%s", bundle, want)
				}
			}
		})
	}
}

// A kind of issuer that this Kubernetes does not have is told of, until it has it.
func TestIssuerOfAnUnknownKind(t *testing.T) {
	namespace := newNamespace(t)
	create(t, merged(t, object(t, namespace, minimal),
		`spec: {tls: {issuerRef: {group: pki.example.com, kind: Registrar, name: corp}}}`))
	startManager(t)
	awaitCondition(t, namespace, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonIssuerKindUnknown,
		`tls.issuerRef: this Kubernetes has no kind "Registrar" in the group "pki.example.com"`)

	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := admin.Create(t.Context(), registrars()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Delete(context.Background(), registrars()) })
	eventually(t, "the kind", func(ctx context.Context) error {
		if err := admin.Get(ctx, client.ObjectKeyFromObject(registrars()), crd); err != nil {
			return err
		}
		for _, condition := range crd.Status.Conditions {
			if condition.Type == apiextensionsv1.Established && condition.Status == apiextensionsv1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("it has %+v", crd.Status.Conditions)
	})
	touch(t, clusterIn(namespace))
	eventually(t, "the end of Stalled", func(ctx context.Context) error {
		cluster := clusterIn(namespace)
		if err := admin.Get(ctx, client.ObjectKeyFromObject(cluster), cluster); err != nil {
			return err
		}
		if meta.IsStatusConditionTrue(cluster.Status.Conditions, v1alpha1.ConditionStalled) {
			return fmt.Errorf("there are %s", summary(cluster))
		}
		return nil
	})
}

// touch has the manager look at a cluster again.
func touch(t *testing.T, cluster *v1alpha1.ErlangCluster) {
	t.Helper()
	patch := client.MergeFrom(get(t, cluster).DeepCopy())
	metav1.SetMetaDataAnnotation(&cluster.ObjectMeta, "touched", time.Now().String())
	if err := admin.Patch(t.Context(), cluster, patch); err != nil {
		t.Fatal(err)
	}
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
