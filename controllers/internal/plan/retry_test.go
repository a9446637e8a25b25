package plan_test

import (
	"testing"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
)

// refused is a cluster whose CA cert-manager failed to issue so many times in a row, the last time so
// long ago.
func refused(failures int, ago time.Duration) state.State {
	s := running(v1alpha1.TLSSpec{}, v1alpha1.CookieSpec{}, func(s *statetest.Situation) { s.Others = []string{"Issuer/chat-selfsigned"} })
	ca := s.Certificates["chat-ca"]
	failed := metav1.NewTime(s.Now.Add(-ago))
	ca.Spec.IssuerRef = certmanagermeta.IssuerReference{Name: "chat-selfsigned"}
	ca.Status = certmanager.CertificateStatus{LastFailureTime: &failed, FailedIssuanceAttempts: &failures, Conditions: []certmanager.CertificateCondition{{
		Type: certmanager.CertificateConditionIssuing, Status: certmanagermeta.ConditionFalse, Reason: "Failed",
		Message: "CSR not signed by referenced private key", LastTransitionTime: &failed}}}
	return s
}

// What is retried is the Certificate as it was observed, and by cert-manager's clock the retry comes
// after the failure.
func TestRefusedCertificateIsRetried(t *testing.T) {
	s := refused(1, time.Second)
	p := plan.Make(s, operator, freshCookie)
	if len(p.Retry) != 1 {
		t.Fatalf("it retries %d Certificates, want that of the CA", len(p.Retry))
	}
	retried, ca := p.Retry[0], s.Certificates["chat-ca"]
	if *retried.GetName() != ca.Name || *retried.UID != ca.UID || *retried.ResourceVersion != ca.ResourceVersion {
		t.Errorf("it retries %s %s of version %s", *retried.GetName(), *retried.UID, *retried.ResourceVersion)
	}
	if issuing := retried.Status.Conditions[0]; *issuing.Type != "Issuing" || *issuing.Status != "True" || !issuing.LastTransitionTime.After(ca.Status.LastFailureTime.Time) {
		t.Errorf("it sets the condition %s=%s of %s", *issuing.Type, *issuing.Status, issuing.LastTransitionTime)
	}
	early := refused(1, 0)
	if p := plan.Make(early, operator, freshCookie); len(p.Retry) > 0 || !p.Again.Equal(early.Now.Add(time.Second)) {
		t.Errorf("in the second of the failure it retries %d Certificates, and looks again at %s", len(p.Retry), p.Again)
	}
}

// The first retry comes at once. Then each pause is twice as long, but never longer than an hour, nor
// than cert-manager's own.
func TestPausesBetweenRetries(t *testing.T) {
	want := []time.Duration{time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 32 * time.Minute, time.Hour, time.Hour}
	for i, pause := range want {
		s := refused(i+1, time.Second)
		next, retried := plan.RetryOf(s, "chat-ca")
		if got := next.At.Sub(s.Certificates["chat-ca"].Status.LastFailureTime.Time); !retried || got != pause {
			t.Errorf("after failure %d it waits for %s, want %s", i+1, got, pause)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		failures := rapid.IntRange(-2, 1000).Draw(t, "failures")
		s := refused(failures, time.Duration(rapid.Int64Range(0, int64(2*time.Hour)).Draw(t, "ago")))
		next, _ := plan.RetryOf(s, "chat-ca")
		if pause := next.At.Sub(s.Certificates["chat-ca"].Status.LastFailureTime.Time); pause < time.Second || pause > time.Hour {
			t.Errorf("it waits for %s", pause)
		}
		p := plan.Make(s, operator, freshCookie)
		if due := !s.Now.Before(next.At); due != (len(p.Retry) == 1) || !due && (p.Again.IsZero() || p.Again.After(next.At)) {
			t.Errorf("%d retries, due at %s; it is %s, and it looks again at %s", len(p.Retry), next.At, s.Now, p.Again)
		}
	})
}

// A failure that has not come yet by the manager's clock keeps nothing waiting for longer than another
// would, and is retried no sooner after a request.
func TestFailureAheadIsRetried(t *testing.T) {
	at := func(s state.State, ago time.Duration) *metav1.Time { return ptr.To(metav1.NewTime(s.Now.Add(-ago))) }
	for name, test := range map[string]struct {
		ahead   time.Duration
		request func(state.State) *certmanager.CertificateRequest // nil: there is none
		retried bool
		since   time.Duration // before the retry, which an issuance then has as its beginning
	}{
		"somebody wrote it": {24 * time.Hour * 365 * 70, func(s state.State) *certmanager.CertificateRequest {
			return &certmanager.CertificateRequest{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: *at(s, 24*time.Hour)}}
		}, true, 0},
		"without a request": {24 * time.Hour, nil, true, 0},
		"a clock is ahead": {5 * time.Minute, func(s state.State) *certmanager.CertificateRequest {
			return &certmanager.CertificateRequest{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: *at(s, 2*time.Hour)},
				Status: certmanager.CertificateRequestStatus{FailureTime: at(s, -5*time.Minute)}}
		}, true, -5*time.Minute - time.Second},
		"it failed just now, and a clock is ahead": {5 * time.Minute, func(s state.State) *certmanager.CertificateRequest {
			return &certmanager.CertificateRequest{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: *at(s, time.Second)},
				Status: certmanager.CertificateRequestStatus{FailureTime: at(s, -5*time.Minute)}}
		}, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := refused(1<<31, -test.ahead)
			s.Certificates["chat-ca"].CreationTimestamp = *at(s, 48*time.Hour)
			if test.request != nil {
				s.Requests["chat-ca"] = test.request(s)
			}
			p := plan.Make(s, operator, freshCookie)
			if next, _ := plan.RetryOf(s, "chat-ca"); len(p.Retry) == 1 != test.retried || next.At.After(s.Now.Add(time.Hour)) {
				t.Fatalf("%d Certificates are retried, the next at %s; it is %s", len(p.Retry), next.At, s.Now)
			}
			if !test.retried {
				return
			}
			if since := p.Retry[0].Status.Conditions[0].LastTransitionTime; s.Now.Sub(since.Time) != test.since {
				t.Errorf("the issuance begins at %s, %s ago", since, s.Now.Sub(since.Time))
			}
		})
	}
}

// Where the cause is somebody's decision, costs somebody something, or is not there, nothing is retried.
func TestWhatIsNotRetried(t *testing.T) {
	issuing := func(edit func(*certmanager.CertificateCondition)) func(*state.State, *certmanager.Certificate) {
		return func(_ *state.State, ca *certmanager.Certificate) { edit(&ca.Status.Conditions[0]) }
	}
	for name, test := range map[string]struct {
		edit    func(*state.State, *certmanager.Certificate)
		retried bool
	}{
		"failed":               {func(*state.State, *certmanager.Certificate) {}, true},
		"a useless answer":     {issuing(func(c *certmanager.CertificateCondition) { c.Reason = "InvalidCertificate" }), true},
		"failures not counted": {func(_ *state.State, ca *certmanager.Certificate) { ca.Status.FailedIssuanceAttempts = nil }, true},
		"another request denied": {func(s *state.State, _ *certmanager.Certificate) {
			s.Requests["chat-0-tls"] = request(certmanager.CertificateRequestConditionDenied)
		}, true},
		"denied": {func(s *state.State, _ *certmanager.Certificate) {
			s.Requests["chat-ca"] = request(certmanager.CertificateRequestConditionDenied)
		}, false},
		"denied, as the approver says":      {issuing(func(c *certmanager.CertificateCondition) { c.Reason = "policy.example.com" }), false},
		"in progress":                       {issuing(func(c *certmanager.CertificateCondition) { c.Status = certmanagermeta.ConditionTrue }), false},
		"issued, as server-side apply says": {issuing(func(c *certmanager.CertificateCondition) { c.Reason = "Issued" }), false},
		"never begun":                       {func(_ *state.State, ca *certmanager.Certificate) { ca.Status.Conditions = nil }, false},
		"never failed":                      {func(_ *state.State, ca *certmanager.Certificate) { ca.Status.LastFailureTime = nil }, false},
		"suspended":                         {func(s *state.State, _ *certmanager.Certificate) { s.Cluster.Spec.Suspend = true }, false},
		"being deleted": {func(s *state.State, ca *certmanager.Certificate) {
			ca.DeletionTimestamp = ptr.To(metav1.NewTime(s.Now))
		}, false},
		"a foreign issuer":  {func(_ *state.State, ca *certmanager.Certificate) { ca.Spec.IssuerRef.Name = "corp" }, false},
		"a ClusterIssuer":   {func(_ *state.State, ca *certmanager.Certificate) { ca.Spec.IssuerRef.Kind = "ClusterIssuer" }, false},
		"another group":     {func(_ *state.State, ca *certmanager.Certificate) { ca.Spec.IssuerRef.Group = "example.com" }, false},
		"not the cluster's": {func(s *state.State, _ *certmanager.Certificate) { delete(s.Certificates, "chat-ca") }, false},
		"no longer wanted": {func(s *state.State, ca *certmanager.Certificate) {
			s.Certificates["chat-9-tls"] = ca.DeepCopy()
			s.Certificates["chat-9-tls"].Name = "chat-9-tls"
			delete(s.Certificates, "chat-ca")
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := refused(1, time.Hour)
			test.edit(&s, s.Certificates["chat-ca"])
			if p := plan.Make(s, operator, freshCookie); len(p.Retry) == 1 != test.retried {
				t.Errorf("%d Certificates are retried", len(p.Retry))
			}
		})
	}
}

func request(condition certmanager.CertificateRequestConditionType) *certmanager.CertificateRequest {
	return &certmanager.CertificateRequest{Status: certmanager.CertificateRequestStatus{
		Conditions: []certmanager.CertificateRequestCondition{{Type: condition, Status: certmanagermeta.ConditionTrue}}}}
}
