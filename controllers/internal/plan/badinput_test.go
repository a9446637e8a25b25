package plan_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/rotation"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
)

// running is a cluster of two in which all is well, as far as a spec is the usual one.
func running(tls v1alpha1.TLSSpec, cookie v1alpha1.CookieSpec, edit func(*statetest.Situation)) state.State {
	cluster := statetest.MustCluster(`
metadata: {name: chat, namespace: shop}
spec: {replicas: 2, template: {spec: {containers: [{name: chat, image: "example.com/chat:1"}]}}}
`)
	cluster.Spec.TLS.IssuerRef, cluster.Spec.Cookie = tls.IssuerRef, cookie
	situation := statetest.Situation{
		CA: "blue", Trust: []string{"blue"}, Cookie: "TheCookieOfTheCluster", Verified: []string{"chat-0", "chat-1"},
		Issued: []statetest.Issued{{To: "chat-probe", By: "blue", Issuer: "chat-ca"},
			{To: "chat-0", By: "blue", Issuer: "chat-ca"}, {To: "chat-1", By: "blue", Issuer: "chat-ca"}},
		StatefulSet: &statetest.StatefulSet{Replicas: 2}, Pods: []statetest.Pod{{Name: "chat-0"}, {Name: "chat-1"}},
	}
	edit(&situation)
	return situation.Seen(cluster)
}

// expectProblem checks that a plan names what is wrong, the field, and a remedy.
func expectProblem(t *testing.T, p plan.Plan, reason string, says ...string) {
	t.Helper()
	if len(p.Problems) != 1 || p.Problems[0].Reason != reason {
		t.Fatalf("the problems are %+v, want %s", p.Problems, reason)
	}
	for _, words := range says {
		if !strings.Contains(p.Problems[0].Message, words) {
			t.Errorf("%q does not say %q", p.Problems[0].Message, words)
		}
	}
}

// A cookie that cannot be used is reported, without the cookie itself, and running nodes
// keep the one that they have.
func TestBadCookieChangesNothing(t *testing.T) {
	const ref = `cookie.secretKeyRef: Secret shop/legacy`
	good := &v1alpha1.SecretKeyReference{Name: "legacy", Key: "cookie"}
	for name, test := range map[string]struct {
		there  *statetest.UserCookie
		reason string
		says   []string
	}{
		"no Secret":         {nil, v1alpha1.ReasonCookieSecretNotFound, []string{ref, "does not exist", "create it again"}},
		"no such key":       {&statetest.UserCookie{}, v1alpha1.ReasonCookieInvalid, []string{ref, `no key "cookie"`, "cookie.secretKeyRef.key"}},
		"empty":             {&statetest.UserCookie{Value: ptr.To("")}, v1alpha1.ReasonCookieInvalid, []string{ref, "it is empty"}},
		"ends in a newline": {&statetest.UserCookie{Value: ptr.To("AnotherCookie\n")}, v1alpha1.ReasonCookieInvalid, []string{ref, "newline", "echo -n"}},
		"a newline inside":  {&statetest.UserCookie{Value: ptr.To("Another\nCookie")}, v1alpha1.ReasonCookieInvalid, []string{ref, "character 8"}},
		"not ASCII":         {&statetest.UserCookie{Value: ptr.To("AnotherKrümel")}, v1alpha1.ReasonCookieInvalid, []string{ref, "character 10"}},
		"a leading dash":    {&statetest.UserCookie{Value: ptr.To("-AnotherCookie")}, v1alpha1.ReasonCookieInvalid, []string{ref, `begins with '-'`}},
	} {
		t.Run(name, func(t *testing.T) {
			at := func(there *statetest.UserCookie) plan.Plan {
				return plan.Make(running(v1alpha1.TLSSpec{}, v1alpha1.CookieSpec{SecretKeyRef: good},
					func(s *statetest.Situation) { s.UserCookie = there }), operator, freshCookie)
			}
			bad := at(test.there)
			expectProblem(t, bad, test.reason, test.says...)
			if value := test.there; value != nil && value.Value != nil && *value.Value != "" && strings.Contains(bad.Problems[0].Message, *value.Value) {
				t.Error("the message has the cookie in it")
			}
			bad.Problems = nil
			same := at(&statetest.UserCookie{Value: ptr.To("TheCookieOfTheCluster")})
			if diff := cmp.Diff(written(t, same), written(t, bad)); diff != "" {
				t.Errorf("other than with the cookie that the nodes have (-good +bad):\n%s", diff)
			}

			fresh := statetest.MustCluster("metadata: {name: chat}\nspec: {template: {spec: {containers: [{name: chat, image: x}]}}}")
			fresh.Spec.Cookie.SecretKeyRef = good
			p := plan.Make(statetest.Situation{UserCookie: test.there}.Seen(fresh), operator, freshCookie)
			if len(p.Create) > 0 || len(p.Problems) != 1 || p.Problems[0].Reason != test.reason {
				t.Errorf("a fresh cluster is given %d cookies, and the problems are %+v", len(p.Create), p.Problems)
			}
		})
	}
}

// An issuer that cannot sign is reported, and the certificates of running nodes stay with
// the one before it.
func TestBadIssuerChangesNothing(t *testing.T) {
	for name, test := range map[string]struct {
		ref    v1alpha1.IssuerReference
		edit   func(*statetest.Situation)
		reason string
		says   []string
	}{
		"not there": {v1alpha1.IssuerReference{Name: "corp", Kind: "ClusterIssuer", Group: "cert-manager.io"}, func(*statetest.Situation) {},
			v1alpha1.ReasonIssuerNotFound, []string{"tls.issuerRef", `ClusterIssuer "corp" does not exist`, "Create it"}},
		"not ready": {v1alpha1.IssuerReference{Name: "corp", Kind: "Issuer", Group: "cert-manager.io"},
			func(s *statetest.Situation) { s.Issuer = &statetest.Issuer{Refuses: "out of ink"} },
			v1alpha1.ReasonIssuerNotReady, []string{"tls.issuerRef", "out of ink"}},
		"not ready, and says a lot": {v1alpha1.IssuerReference{Name: "corp", Kind: "Issuer", Group: "cert-manager.io"},
			func(s *statetest.Situation) { s.Issuer = &statetest.Issuer{Refuses: strings.Repeat("…", 1000)} },
			v1alpha1.ReasonIssuerNotReady, []string{"tls.issuerRef", "……", "… …"}},
		"of a kind that is none": {v1alpha1.IssuerReference{Name: "corp", Kind: "Secret", Group: "cert-manager.io"},
			func(s *statetest.Situation) { s.Issuer = &statetest.Issuer{OfNoKind: true} },
			v1alpha1.ReasonIssuerKindUnknown, []string{"tls.issuerRef", `no kind "Secret"`, "Issuer and ClusterIssuer"}},
		"of a group that is none": {v1alpha1.IssuerReference{Name: "corp", Kind: "Issuer", Group: "certmanager.io"},
			func(s *statetest.Situation) { s.Issuer = &statetest.Issuer{OfNoKind: true} },
			v1alpha1.ReasonIssuerKindUnknown, []string{"tls.issuerRef", `group "certmanager.io"`, "cert-manager.io"}},
		"gives no root": {v1alpha1.IssuerReference{Name: "corp", Kind: "ClusterIssuer", Group: "cert-manager.io"}, func(s *statetest.Situation) {
			s.Issuer = &statetest.Issuer{}
			s.Issued = append(s.Issued, statetest.Issued{To: "chat-probe-canary", By: "red", Through: "low", Issuer: "corp"})
		}, v1alpha1.ReasonIssuerGivesNoRoot, []string{"tls.issuerRef", `ClusterIssuer "corp"`, "chat-probe-canary-tls", "up to the root"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := running(v1alpha1.TLSSpec{IssuerRef: &test.ref}, v1alpha1.CookieSpec{}, test.edit)
			p := plan.Make(s, operator, freshCookie)
			expectProblem(t, p, test.reason, test.says...)
			step := rotation.NextCA(s)
			if step.Issuer != certs.PrivateIssuer("chat-ca") {
				t.Errorf("the certificates are asked of %v", step.Issuer)
			}
			if !step.Trust.Contains(s.Trust()) {
				t.Error("the nodes lose their trust in each other")
			}
			if len(p.Delete) > 0 {
				t.Errorf("it deletes %v", p.Delete)
			}
		})
	}
}

// Some external issuers have no kind of their own in the API. What they have issued shows
// that there is somebody.
func TestWhoHasIssuedIsAnIssuer(t *testing.T) {
	ref := v1alpha1.IssuerReference{Name: "corp", Kind: "Corporate", Group: "example.com"}
	p := plan.Make(running(v1alpha1.TLSSpec{IssuerRef: &ref}, v1alpha1.CookieSpec{}, func(s *statetest.Situation) {
		s.Issuer = &statetest.Issuer{OfNoKind: true}
		for i := range s.Issued {
			s.Issued[i].Issuer = ""
		}
	}), operator, freshCookie)
	if len(p.Problems) > 0 {
		t.Errorf("%+v", p.Problems)
	}
}
