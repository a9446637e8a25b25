package envtest

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/certs/certstest"
)

// reply is how an external issuer answers a request.
type reply func(asked *x509.CertificateRequest, request *certmanagerv1.CertificateRequest)

// answer has an issuer reply to the requests that cert-manager sends for a Certificate: to one, and until
// the test ends to any more, because cert-manager may have a certificate issued twice.
func answer(t *testing.T, namespace, name string, reply reply) {
	t.Helper()
	eventually(t, "cert-manager requests "+name, func(ctx context.Context) error { return replyToAll(ctx, namespace, name, reply) })
	go func(ctx context.Context) {
		for ctx.Err() == nil {
			_ = replyToAll(ctx, namespace, name, reply) // It is tried again.
			time.Sleep(200 * time.Millisecond)
		}
	}(t.Context())
}

// replyToAll returns an error if there is no request for a Certificate, or one is left without a reply.
func replyToAll(ctx context.Context, namespace, name string, reply reply) error {
	requests, err := requestsFor(ctx, namespace, name)
	if err != nil {
		return err
	}
	for _, request := range requests {
		if slices.ContainsFunc(request.Status.Conditions, func(c certmanagerv1.CertificateRequestCondition) bool {
			return c.Type == certmanagerv1.CertificateRequestConditionReady
		}) {
			continue
		}
		block, _ := pem.Decode(request.Spec.Request)
		asked, err := x509.ParseCertificateRequest(block.Bytes)
		if err != nil {
			return err
		}
		reply(asked, &request)
		if err := admin.Status().Update(ctx, &request); err != nil {
			return err
		}
	}
	return nil
}

// requestsFor are the requests for a Certificate; it is an error if there is none.
func requestsFor(ctx context.Context, namespace, name string) ([]certmanagerv1.CertificateRequest, error) {
	var requests certmanagerv1.CertificateRequestList
	if err := admin.List(ctx, &requests, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	others := len(requests.Items)
	found := slices.DeleteFunc(requests.Items, func(request certmanagerv1.CertificateRequest) bool {
		return request.Annotations[certmanagerv1.CertificateNameKey] != name
	})
	if len(found) == 0 {
		return nil, fmt.Errorf("there are %d other requests", others)
	}
	return found, nil
}

func hostOf(asked *x509.CertificateRequest) string {
	if len(asked.DNSNames) > 0 {
		return asked.DNSNames[0]
	}
	return asked.Subject.CommonName
}

func validFor(life time.Duration) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		now := time.Now() // once: a certificate has whole seconds
		c.NotBefore, c.NotAfter = now.Add(-time.Minute), now.Add(life)
	}
}

// issue fulfils a request with a certificate and the CA, if any.
func issue(request *certmanagerv1.CertificateRequest, leaf, ca *x509.Certificate, chain ...*x509.Certificate) {
	request.Status.Certificate = certstest.PEM(append([]*x509.Certificate{leaf}, chain...)...)
	if ca != nil {
		request.Status.CA = certstest.PEM(ca)
	}
	setReady(request, certmanagermeta.ConditionTrue, certmanagerv1.CertificateRequestReasonIssued, "")
}

func setReady(request *certmanagerv1.CertificateRequest, status certmanagermeta.ConditionStatus, reason, message string) {
	request.Status.Conditions = append(request.Status.Conditions, certmanagerv1.CertificateRequestCondition{
		Type: certmanagerv1.CertificateRequestConditionReady, Status: status, Reason: reason, Message: message,
		LastTransitionTime: &metav1.Time{Time: time.Now()},
	})
}
