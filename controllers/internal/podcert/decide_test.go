package podcert_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/certstest"
	"github.com/erlang-operator/erlang-operator/controllers/internal/podcert"
)

// A situation is a request and what was looked up for it, all of it as it should be
// until a test changes it.
type situation struct {
	request *certificatesv1.PodCertificateRequest
	seen    podcert.Subject
}

var (
	root         = certstest.NewAuthority("blue")
	intermediate = root.Intermediate("chat-intermediate")
	now          = certstest.Start.Add(36 * time.Hour)
	key          = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
)

func good() situation {
	cluster := &v1alpha1.ErlangCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "chat", UID: "uid-of-chat"}}
	cluster.Spec.TLS = v1alpha1.TLSSpec{Delivery: v1alpha1.DeliveryPodCertificate,
		Certificate: v1alpha1.CertificateLifetime{Duration: "720h", RenewBefore: "240h"}}
	set := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "chat", UID: "uid-of-set",
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(cluster, v1alpha1.SchemeGroupVersion.WithKind("ErlangCluster"))}}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "chat-1", UID: "uid-of-pod",
		Labels:          map[string]string{"erlang-operator.dev/cluster": "chat"},
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("StatefulSet"))}}}
	pod.Spec = corev1.PodSpec{ServiceAccountName: "default", NodeName: "machine"}
	return situation{
		request: &certificatesv1.PodCertificateRequest{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "request"},
			Spec: certificatesv1.PodCertificateRequestSpec{
				SignerName: "erlang-operator.dev/member",
				PodName:    "chat-1", PodUID: "uid-of-pod", ServiceAccountName: "default", NodeName: "machine",
				MaxExpirationSeconds: ptr.To[int32](7862400),
				StubPKCS10Request:    csr(key, &x509.CertificateRequest{}),
			}},
		seen: podcert.Subject{
			Now: now, Domain: "cluster.local", Pod: pod, StatefulSet: set, Cluster: cluster,
			Intermediate: &certs.Certificate{X509: intermediate.Certificate, Issuers: []*x509.Certificate{root.Certificate}},
			Trust:        certs.Trust{}.With(root.Certificate),
		}}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func csr(key crypto.Signer, template *x509.CertificateRequest) []byte {
	return must(x509.CreateCertificateRequest(rand.Reader, template, key))
}

func TestGrant(t *testing.T) {
	s := good()
	decision := podcert.Decide(s.request, s.seen)
	if decision.Grant == nil {
		t.Fatalf("no grant: %+v", decision)
	}
	grant := decision.Grant
	host := "chat-1.chat-nodes.shop.svc.cluster.local"
	certificate := grant.Template
	if !slices.Equal(certificate.DNSNames, []string{host}) || grant.Host != host || certificate.Subject.CommonName != "chat-1" {
		t.Errorf("it is for %v, %q and %q", certificate.DNSNames, grant.Host, certificate.Subject)
	}
	if !key.PublicKey.Equal(grant.Key) {
		t.Error("it is for another key")
	}
	if lives := certificate.NotAfter.Sub(certificate.NotBefore); lives != 720*time.Hour {
		t.Errorf("it lives for %s, want what the spec says", lives)
	}
	if ago := now.Sub(certificate.NotBefore); ago <= 0 || ago >= 5*time.Minute {
		t.Errorf("it is valid since %s ago; the API server takes less than five minutes", ago)
	}
	if after := grant.BeginRefreshAt.Sub(certificate.NotBefore); after != 480*time.Hour {
		t.Errorf("it is renewed after %s of 720 h", after)
	}
	if certificate.IsCA || !certificate.BasicConstraintsValid || certificate.KeyUsage != x509.KeyUsageDigitalSignature ||
		!slices.Equal(certificate.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}) {
		t.Errorf("it may be used for something else: %+v", certificate)
	}
}

// What a request says of itself changes nothing.
func TestForgedNamesAreNotRead(t *testing.T) {
	want := good()
	s := good()
	s.request.Spec.StubPKCS10Request = csr(key, &x509.CertificateRequest{
		Subject:     pkix.Name{CommonName: "chat-0"},
		DNSNames:    []string{"chat-0.chat-nodes.shop.svc.cluster.local", "*.example.com"},
		IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)},
		ExtraExtensions: []pkix.Extension{{Id: []int{2, 5, 29, 19}, Critical: true,
			Value: []byte{0x30, 0x03, 0x01, 0x01, 0xff}}}, // basic constraints: CA
	})
	s.request.Spec.UnverifiedUserAnnotations = map[string]string{"erlang-operator.dev/pod": "chat-0"}
	s.request.Labels = map[string]string{"erlang-operator.dev/cluster": "bank"}
	s.request.Annotations = map[string]string{"erlang-operator.dev/pod": "chat-0"}
	wanted, got := podcert.Decide(want.request, want.seen).Grant, podcert.Decide(s.request, s.seen).Grant
	if got == nil {
		t.Fatal("no grant")
	}
	if got.Host != wanted.Host || !slices.Equal(got.Template.DNSNames, wanted.Template.DNSNames) ||
		got.Template.Subject.String() != wanted.Template.Subject.String() || len(got.Template.IPAddresses) > 0 ||
		len(got.Template.ExtraExtensions) > 0 || got.Template.IsCA {
		t.Errorf("the request has had a say: %+v", got.Template)
	}
}

func TestLifetimes(t *testing.T) {
	for name, test := range map[string]struct {
		duration v1alpha1.Duration
		asked    int32
		left     time.Duration // to the end of the intermediate CA
		lives    time.Duration
	}{
		"the spec's":                       {"100h", 7862400, 1000 * 24 * time.Hour, 100 * time.Hour},
		"not more than the pod asks for":   {"100h", 7200, 1000 * 24 * time.Hour, 2 * time.Hour},
		"not more than Kubernetes allows":  {"9000h", 7862400, 1000 * 24 * time.Hour, 91 * 24 * time.Hour},
		"the least":                        {"1h", 3600, 1000 * 24 * time.Hour, time.Hour},
		"not longer than the intermediate": {"2160h", 7862400, 20 * time.Hour, 20*time.Hour + 2*time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			s := good()
			s.seen.Now = intermediate.Certificate.NotAfter.Add(-test.left)
			s.seen.Cluster.Spec.TLS.Certificate.Duration = test.duration
			s.request.Spec.MaxExpirationSeconds = &test.asked
			grant := podcert.Decide(s.request, s.seen).Grant
			if grant == nil {
				t.Fatal("no grant")
			}
			if lives := grant.Template.NotAfter.Sub(grant.Template.NotBefore); lives != test.lives {
				t.Errorf("it lives for %s, want %s", lives, test.lives)
			}
			// As kube-apiserver demands it.
			if grant.BeginRefreshAt.Before(grant.Template.NotBefore.Add(10*time.Minute)) || grant.BeginRefreshAt.After(grant.Template.NotAfter.Add(-10*time.Minute)) {
				t.Errorf("renewed at %s, too close to the ends of %s to %s", grant.BeginRefreshAt, grant.Template.NotBefore, grant.Template.NotAfter)
			}
		})
	}
}

func TestNothingToDecide(t *testing.T) {
	for name, change := range map[string]func(*situation){
		"of another signer": func(s *situation) { s.request.Spec.SignerName = "example.com/member" },
		"issued already":    func(s *situation) { s.request.Status.Conditions = []metav1.Condition{{Type: "Issued", Status: "True"}} },
		"denied already":    func(s *situation) { s.request.Status.Conditions = []metav1.Condition{{Type: "Denied", Status: "True"}} },
	} {
		t.Run(name, func(t *testing.T) {
			s := good()
			change(&s)
			if decision := podcert.Decide(s.request, s.seen); decision != (podcert.Decision{}) {
				t.Errorf("it is decided: %+v", decision)
			}
		})
	}
}

func controlledBy(kind, apiVersion string) []metav1.OwnerReference {
	return []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: "chat", UID: "uid-of-other", Controller: ptr.To(true)}}
}

// A denial is for what can never come true.
func TestDenied(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*situation)
		reason string
	}{
		"no PKCS#10":  {func(s *situation) { s.request.Spec.StubPKCS10Request = nil }, podcert.ReasonInvalidRequest},
		"bad PKCS#10": {func(s *situation) { s.request.Spec.StubPKCS10Request = []byte("no") }, podcert.ReasonInvalidRequest},
		"bad signature": {func(s *situation) {
			der := s.request.Spec.StubPKCS10Request
			der[len(der)-1] ^= 1
		}, podcert.ReasonInvalidRequest},
		"an RSA key": {func(s *situation) {
			s.request.Spec.StubPKCS10Request = csr(must(rsa.GenerateKey(rand.Reader, 2048)), &x509.CertificateRequest{})
		}, "UnsupportedKeyType"},
		"another curve": {func(s *situation) {
			s.request.Spec.StubPKCS10Request = csr(must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)), &x509.CertificateRequest{})
		}, "UnsupportedKeyType"},
		"an Ed25519 key": {func(s *situation) {
			_, key, err := ed25519.GenerateKey(rand.Reader)
			s.request.Spec.StubPKCS10Request = csr(must(key, err), &x509.CertificateRequest{})
		}, "UnsupportedKeyType"},
		"another pod of that name":              {func(s *situation) { s.seen.Pod.UID = "uid-of-the-next" }, podcert.ReasonIdentityMismatch},
		"another ServiceAccount":                {func(s *situation) { s.request.Spec.ServiceAccountName = "admin" }, podcert.ReasonIdentityMismatch},
		"another machine":                       {func(s *situation) { s.request.Spec.NodeName = "elsewhere" }, podcert.ReasonIdentityMismatch},
		"a pod of nobody's":                     {func(s *situation) { s.seen.Pod.OwnerReferences, s.seen.Pod.Labels = nil, nil }, podcert.ReasonNotAMember},
		"a pod of a ReplicaSet, with our label": {func(s *situation) { s.seen.Pod.OwnerReferences = controlledBy("ReplicaSet", "apps/v1") }, podcert.ReasonNotAMember},
		"a pod of another group's StatefulSet":  {func(s *situation) { s.seen.Pod.OwnerReferences = controlledBy("StatefulSet", "example.com/v1") }, podcert.ReasonNotAMember},
		"a StatefulSet of nobody's":             {func(s *situation) { s.seen.StatefulSet.OwnerReferences = nil }, podcert.ReasonNotAMember},
		"a StatefulSet of another kind's":       {func(s *situation) { s.seen.StatefulSet.OwnerReferences = controlledBy("Kafka", "example.com/v1") }, podcert.ReasonNotAMember},
		"an ErlangCluster of another group": {func(s *situation) {
			s.seen.StatefulSet.OwnerReferences = controlledBy("ErlangCluster", "example.com/v1")
		}, podcert.ReasonNotAMember},
		"a second StatefulSet of the cluster's": {func(s *situation) { s.seen.StatefulSet.Name = "chat-extra" }, podcert.ReasonNotAMember},
		"a pod that is not named as a member":   {func(s *situation) { s.seen.Pod.Name, s.request.Spec.PodName = "chat-01", "chat-01" }, podcert.ReasonNotAMember},
	} {
		t.Run(name, func(t *testing.T) {
			s := good()
			test.change(&s)
			decision := podcert.Decide(s.request, s.seen)
			if decision.Denied == nil || decision.Denied.Reason != test.reason || decision.Grant != nil {
				t.Fatalf("decided %+v, want it denied for %s", decision, test.reason)
			}
			if c := decision.Denied; c.Type != "Denied" || c.Status != metav1.ConditionTrue || c.Message == "" {
				t.Errorf("the API server would not take %+v", c)
			}
		})
	}
}

// Whatever may still come true waits.
func TestWaits(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*situation)
		for_   string
	}{
		"no pod":                    {func(s *situation) { s.seen.Pod = nil }, "pod chat-1 does not exist"},
		"a pod not scheduled":       {func(s *situation) { s.seen.Pod.Spec.NodeName = "" }, "not scheduled"},
		"a pod that lost its owner": {func(s *situation) { s.seen.Pod.OwnerReferences = nil }, "has no StatefulSet"},
		"no StatefulSet":            {func(s *situation) { s.seen.StatefulSet = nil }, "StatefulSet chat"},
		"another StatefulSet":       {func(s *situation) { s.seen.StatefulSet.UID = "uid-of-the-next" }, "StatefulSet chat"},
		"a forged StatefulSet":      {func(s *situation) { s.seen.Pod.OwnerReferences[0].UID = "forged" }, "StatefulSet chat"},
		"a StatefulSet that lost its owner": {func(s *situation) {
			s.seen.StatefulSet.OwnerReferences = nil
			s.seen.StatefulSet.Labels = map[string]string{"erlang-operator.dev/cluster": "chat"}
		}, "has no ErlangCluster"},
		"no ErlangCluster":                        {func(s *situation) { s.seen.Cluster = nil }, "ErlangCluster chat"},
		"another ErlangCluster":                   {func(s *situation) { s.seen.Cluster.UID = "uid-of-the-next" }, "ErlangCluster chat"},
		"delivery is Secret":                      {func(s *situation) { s.seen.Cluster.Spec.TLS.Delivery = v1alpha1.DeliverySecret }, "tls.delivery"},
		"no delivery":                             {func(s *situation) { s.seen.Cluster.Spec.TLS.Delivery = "" }, "tls.delivery"},
		"no intermediate CA":                      {func(s *situation) { s.seen.Intermediate = nil }, "chat-intermediate does not exist"},
		"no trust bundle":                         {func(s *situation) { s.seen.Trust = certs.Trust{} }, "trust bundle"},
		"a foreign intermediate":                  {func(s *situation) { s.seen.Trust = certs.Trust{}.With(certstest.NewAuthority("green").Certificate) }, "trust bundle"},
		"an intermediate that is no CA":           {func(s *situation) { s.seen.Intermediate.X509 = root.Issue("chat-intermediate") }, "not a CA certificate"},
		"an intermediate that has expired":        {func(s *situation) { s.seen.Now = intermediate.Certificate.NotAfter.Add(time.Second) }, "expired"},
		"an intermediate that is about to expire": {func(s *situation) { s.seen.Now = intermediate.Certificate.NotAfter.Add(-50 * time.Minute) }, "expires too soon"},
	} {
		t.Run(name, func(t *testing.T) {
			s := good()
			test.change(&s)
			decision := podcert.Decide(s.request, s.seen)
			if decision.Denied != nil || decision.Grant != nil || !strings.Contains(decision.Wait, test.for_) {
				t.Errorf("decided %+v, want it to wait for %q", decision, test.for_)
			}
		})
	}
}

// A pod that still runs after its cluster went back to Secrets is served until it is
// replaced.
func TestLeftoverIsServed(t *testing.T) {
	s := good()
	s.seen.Cluster.Spec.TLS.Delivery = v1alpha1.DeliverySecret
	s.seen.Pod.Spec.Volumes = []corev1.Volume{{Name: "erlang-operator-tls", VolumeSource: corev1.VolumeSource{
		Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{
			PodCertificate: &corev1.PodCertificateProjection{SignerName: certs.SignerName}}}}}}}
	if decision := podcert.Decide(s.request, s.seen); decision.Grant == nil {
		t.Errorf("decided %+v, want a grant", decision)
	}
}

// Whatever bytes come as a request: it is denied, or its key is of the one type.
func FuzzStubPKCS10Request(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x30\x03\x02\x01\x00"))
	f.Add(good().request.Spec.StubPKCS10Request)
	f.Add(csr(must(rsa.GenerateKey(rand.Reader, 2048)), &x509.CertificateRequest{DNSNames: []string{"a"}}))
	f.Fuzz(func(t *testing.T, der []byte) {
		s := good()
		s.request.Spec.StubPKCS10Request = der
		decision := podcert.Decide(s.request, s.seen)
		switch {
		case decision.Denied != nil && decision.Grant == nil:
		case decision.Grant != nil && decision.Denied == nil:
			key, ok := decision.Grant.Key.(*ecdsa.PublicKey)
			if !ok || key.Curve != elliptic.P256() || !slices.Equal(decision.Grant.Template.DNSNames, []string{"chat-1.chat-nodes.shop.svc.cluster.local"}) {
				t.Fatalf("granted %+v", decision.Grant)
			}
		default:
			t.Fatalf("decided %+v", decision)
		}
	})
}
