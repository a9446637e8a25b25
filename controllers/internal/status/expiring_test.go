package status_test

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/certstest"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
)

// left is a cluster whose certificates have so much left.
func left(left time.Duration) *scene {
	s := whole(2)
	s.pass(certstest.End.Add(-left))
	return s
}

// pass lets time pass, with the probe alive.
func (s *scene) pass(now time.Time) {
	s.Now = now
}

// renew gives all but the nodes of these ordinals certificates for long, stored and served.
func (s *scene) renew(but ...int) {
	blue := certstest.NewAuthority("blue")
	for owner, host := range map[string]string{"chat-probe": s.Names.ProbeHost(), "chat-0": s.Names.Host("chat-0"), "chat-1": s.Names.Host("chat-1")} {
		if len(but) > 0 && owner == s.Names.Pod(int32(but[0])) {
			continue
		}
		leaf := blue.Issue(host, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = s.Now, s.Now.Add(720*time.Hour) })
		s.Secrets[owner+"-tls"].Data[corev1.TLSCertKey] = certstest.PEM(leaf)
		if ordinal, ok := s.Names.Ordinal(owner); ok {
			s.node(int(ordinal)).CertificateNotAfter = ptr.To(metav1.NewTime(leaf.NotAfter))
		}
	}
}

// What should have been renewed is reported at three tenths and at one tenth of its life,
// each time once, with what came of the renewal, and Ready stays. Of the 30 days here 10
// are for renewal.
func TestExpiring(t *testing.T) {
	const warning, urgent = v1alpha1.ReasonCertificateExpiring, v1alpha1.ReasonCertificateExpiryImminent
	for name, test := range map[string]struct {
		left   time.Duration
		edit   func(*scene)
		reason string // none for no warning
		says   []string
	}{
		"renewal is due":       {left: 239 * time.Hour},
		"a day late":           {left: 217 * time.Hour},
		"three tenths left":    {left: 216 * time.Hour, reason: warning, says: []string{"The certificate that pod chat-0 serves expires in 9d, at 2026-01-31T00:00:00Z.", "2 more: the certificate that pod chat-1 serves", "has not started to"}},
		"more than a tenth":    {left: 73 * time.Hour, reason: warning},
		"a tenth left":         {left: 72 * time.Hour, reason: urgent, says: []string{"expires in 3d"}},
		"renewed and served":   {left: time.Hour, edit: func(s *scene) { s.renew() }},
		"renewed, but for one": {left: 71 * time.Hour, edit: func(s *scene) { s.renew(1) }, reason: urgent, says: []string{"pod chat-1 serves expires in 2d"}},
		"renewed, not served": {left: 71 * time.Hour, edit: func(s *scene) {
			s.renew()
			s.node(1).CertificateNotAfter, s.node(1).CertificateSerial = ptr.To(metav1.NewTime(certstest.End)), "17"
		}, reason: urgent, says: []string{"pod chat-1 serves", "the node does not serve it", "CertificateNotServed"}},
		"refused": {left: 100 * time.Hour, edit: func(s *scene) {
			s.renew(1)
			awaited(s, "chat-1-tls", certmanagermeta.ConditionFalse, "Failed", "the issuer is out of ink.", time.Hour)
		}, reason: warning, says: []string{"pod chat-1", "could not renew it: the issuer is out of ink. Fix the issuer", "kubectl describe certificate chat-1-tls"}},
		"awaited": {left: 100 * time.Hour, edit: func(s *scene) {
			s.renew(1)
			awaited(s, "chat-1-tls", certmanagermeta.ConditionTrue, "Renewing", "", time.Hour)
		}, reason: warning, says: []string{"waiting for another one since 2026-01-26T19:00:00Z"}},
		"the urgent before the sooner": {left: 100 * time.Hour, edit: func(s *scene) {
			s.renew(1)
			s.node(0).CertificateNotAfter = ptr.To(metav1.NewTime(s.Now.Add(71 * time.Hour)))
		}, reason: urgent, says: []string{"pod chat-0 serves expires in 2d", "1 more: the certificate that pod chat-1 serves"}},
		"renewed late on purpose": {left: 71 * time.Hour, edit: func(s *scene) { s.Cluster.Spec.TLS.Certificate.RenewBefore = "72h" }},
		"late even so":            {left: 64 * time.Hour, edit: func(s *scene) { s.Cluster.Spec.TLS.Certificate.RenewBefore = "72h" }, reason: warning},
		"urgent even so":          {left: 23 * time.Hour, edit: func(s *scene) { s.Cluster.Spec.TLS.Certificate.RenewBefore = "72h" }, reason: urgent},
		"to be renewed early":     {left: 217 * time.Hour, edit: func(s *scene) { s.Cluster.Spec.TLS.Certificate.RenewBefore = "600h" }},
		"late for that":           {left: 216 * time.Hour, edit: func(s *scene) { s.Cluster.Spec.TLS.Certificate.RenewBefore = "600h" }, reason: warning},
		"renewed at the last":     {left: 3 * time.Minute, edit: func(s *scene) { s.Cluster.Spec.TLS.Certificate.RenewBefore = "5m" }},
		"renewed earlier than it lives": {left: 239 * time.Hour, edit: func(s *scene) {
			s.Cluster.Spec.TLS.Certificate = v1alpha1.CertificateLifetime{Duration: "7200h", RenewBefore: "2400h"}
		}},
		"only the probe's": {left: 71 * time.Hour, edit: func(s *scene) {
			stored := s.Secrets["chat-probe-tls"].Data[corev1.TLSCertKey]
			s.renew()
			s.Secrets["chat-probe-tls"].Data[corev1.TLSCertKey] = stored
		}, reason: urgent, says: []string{"The certificate of the probe expires in 2d", "the probe cannot verify any node"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := left(test.left)
			if test.edit != nil {
				test.edit(s)
			}
			expectWarning(t, s, test.reason, test.says...)
		})
	}
	if s := left(216*time.Hour + time.Minute); s.describe(t).RequeueAfter > time.Minute+time.Second {
		t.Errorf("looks again in %s", s.describe(t).RequeueAfter)
	}
	s := left(100 * time.Hour)
	s.Cluster.Status = statusOf(s, s.describe(t).Status)
	s.pass(certstest.End.Add(-72 * time.Hour))
	if events := s.describe(t).Events; len(events) != 1 || events[0].Reason != urgent || events[0].Type != corev1.EventTypeWarning {
		t.Errorf("at the second threshold: %+v", events)
	}
}

// expectWarning demands a warning, reported once, or none, and that Ready stays.
func expectWarning(t *testing.T, s *scene, reason string, says ...string) {
	t.Helper()
	report := s.describe(t)
	warning := meta.FindStatusCondition(report.Status.Conditions, v1alpha1.ConditionCertificateExpiring)
	switch {
	case reason == "" && warning != nil:
		t.Fatalf("warned of %s: %s", warning.Reason, warning.Message)
	case reason != "" && (warning == nil || warning.Reason != reason):
		t.Fatalf("the warning is %+v, want %s", warning, reason)
	}
	for _, words := range says {
		if !strings.Contains(warning.Message, words) {
			t.Errorf("%q does not say %q", warning.Message, words)
		}
	}
	if !meta.IsStatusConditionTrue(report.Status.Conditions, v1alpha1.ConditionReady) {
		t.Error("a warning keeps the cluster from being ready")
	}
	s.Cluster.Status = statusOf(s, report.Status)
	if again := s.describe(t); len(again.Events) > 0 || again.Changed {
		t.Errorf("reported again: %+v", again.Events)
	}
}

// statusOf is the manager's status with the probe's part.
func statusOf(s *scene, status v1alpha1.ErlangClusterStatus) v1alpha1.ErlangClusterStatus {
	status.Mesh = s.Cluster.Status.Mesh
	return status
}

// trusts makes the nodes trust a CA of that life and so much left of it, and have
// certificates of it.
func (s *scene) trusts(life, left time.Duration) {
	ca := certstest.NewAuthority("blue", func(c *x509.Certificate) { c.NotBefore, c.NotAfter = s.Now.Add(left-life), s.Now.Add(left) }).Certificate
	s.Distribution.Data[naming.TrustKey] = certs.Trust{}.With(ca).PEM()
	s.Secrets["chat-ca"].Data[corev1.TLSCertKey] = certstest.PEM(ca)
}

// A CA is warned of when another one should have taken its place, and one of somebody
// else's when it ends before what it signs: 30 days here.
func TestCAExpiring(t *testing.T) {
	const day, year = 24 * time.Hour, 365 * 24 * time.Hour
	const warning, urgent = v1alpha1.ReasonCAExpiring, v1alpha1.ReasonCAExpiryImminent
	issuerRef := func(s *scene) {
		s.Cluster.Spec.TLS.IssuerRef = &v1alpha1.IssuerReference{Name: "corp", Kind: "ClusterIssuer", Group: "cert-manager.io"}
		delete(s.Certificates, "chat-ca")
	}
	for name, test := range map[string]struct {
		life, left time.Duration
		edit       func(*scene)
		reason     string
		says       []string
	}{
		"private, its time is nearly up":  {life: 10 * year, left: 10 * year / 3},
		"private, and nothing came of it": {life: 10 * year, left: 2 * year, reason: warning, says: []string{"The private CA chat-ca expires in 730d", "RotatingCA"}},
		"private, and for long":           {life: 10 * year, left: year, reason: urgent},
		"private, and somebody holds it up": {life: 10 * year, left: 2 * year, edit: func(s *scene) {
			s.rotates(v1alpha1.RotationWideningTrust)
		}, reason: warning, says: []string{"(CA rotation, WideningTrust: waiting for chat-1 to accept the new CA)"}},
		"somebody's, for years":             {life: 10 * year, left: 2 * year, edit: issuerRef},
		"somebody's, for a month and a day": {life: 10 * year, left: 31 * day, edit: issuerRef},
		"somebody's, for less than a leaf":  {life: 10 * year, left: 29 * day, edit: issuerRef, reason: warning, says: []string{`The CA "CN=blue", which the nodes trust, expires in 29d`, "would outlive it", "name it in tls.issuerRef"}},
		"somebody's, for a third of that":   {life: 10 * year, left: 9 * day, edit: issuerRef, reason: urgent},
		"somebody's, renewed every week":    {life: 21 * day, left: 7 * day, edit: issuerRef},
	} {
		t.Run(name, func(t *testing.T) {
			s := whole(2)
			s.trusts(test.life, test.left)
			if test.edit != nil {
				test.edit(s)
			}
			expectWarning(t, s, test.reason, test.says...)
		})
	}
}

func TestIntermediateExpiring(t *testing.T) {
	s := asking(&statetest.Intermediate{By: "blue"})
	end := certstest.Start.AddDate(5, 0, 0)
	at := func(left time.Duration) {
		s.pass(end.Add(-left))
		s.renewProbe()
		for i := range s.Cluster.Status.Mesh.Nodes {
			s.node(i).CertificateNotAfter = ptr.To(metav1.NewTime(s.Now.Add(600 * time.Hour)))
		}
	}
	life := end.Sub(certstest.Start)
	at(life * 31 / 100)
	expectWarning(t, s, "")
	at(life * 29 / 100)
	expectWarning(t, s, v1alpha1.ReasonCAExpiring, "The intermediate CA chat-intermediate expires in", "no kubelet is given a certificate")
	at(life * 9 / 100)
	expectWarning(t, s, v1alpha1.ReasonCAExpiryImminent)

	// Nothing is stored of the nodes', and a kubelet renews after two thirds.
	at(life / 2)
	s.node(1).CertificateNotAfter = ptr.To(metav1.NewTime(s.Now.Add(200 * time.Hour)))
	expectWarning(t, s, v1alpha1.ReasonCertificateExpiring, "pod chat-1 serves expires in 8d", "kubectl get podcertificaterequests")
}

// renewProbe gives the probe a certificate that was just issued.
func (s *scene) renewProbe() {
	leaf := certstest.NewAuthority("blue").Issue(s.Names.ProbeHost(), func(c *x509.Certificate) { c.NotBefore, c.NotAfter = s.Now, s.Now.Add(720*time.Hour) })
	s.Secrets["chat-probe-tls"].Data[corev1.TLSCertKey] = certstest.PEM(leaf)
}

// An issuer that gives much less than was requested is reported, and a change of what is
// asked for is not taken for that.
func TestShortLived(t *testing.T) {
	for name, test := range map[string]struct {
		asked      time.Duration
		generation int64 // of the Certificate; cert-manager has seen the first
		warns      bool
	}{
		"as asked for":       {720 * time.Hour, 1, false},
		"half of it":         {1440 * time.Hour, 1, false},
		"less":               {1441 * time.Hour, 1, true},
		"just asked for now": {1441 * time.Hour, 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := whole(2)
			certificate := s.Certificates["chat-1-tls"]
			certificate.Spec.Duration = &metav1.Duration{Duration: test.asked}
			certificate.Generation, certificate.Status.Conditions[0].ObservedGeneration = test.generation, 1
			report := s.describe(t)
			warning := meta.FindStatusCondition(report.Status.Conditions, v1alpha1.ConditionCertificateShortLived)
			if (warning != nil) != test.warns || warning != nil && !strings.Contains(warning.Message, "Secret chat-1-tls is valid for 720h0m0s, although 1441h0m0s was requested") {
				t.Errorf("the warning is %+v", warning)
			}
			if !meta.IsStatusConditionTrue(report.Status.Conditions, v1alpha1.ConditionReady) {
				t.Error("a warning keeps the cluster from being ready")
			}
		})
	}
}
