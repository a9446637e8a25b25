package certs_test

import (
	"crypto/x509"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/certstest"
)

var (
	blue  = certstest.NewAuthority("blue")
	green = certstest.NewAuthority("green")
	red   = certstest.NewAuthority("red")
)

const host = "chat-0.chat-nodes.shop.svc.cluster.local"

func TestTrustIsASet(t *testing.T) {
	all := []*x509.Certificate{blue.Certificate, green.Certificate, red.Certificate}
	want := certs.Trust{}.With(all...).PEM()
	if strings.Count(want, "BEGIN CERTIFICATE") != len(all) {
		t.Fatalf("the trust bundle has not %d certificates:\n%s", len(all), want)
	}
	rapid.Check(t, func(t *rapid.T) {
		shuffled := rapid.Permutation(all).Draw(t, "order")
		repeated := slices.Concat(shuffled, rapid.SliceOf(rapid.SampledFrom(all)).Draw(t, "repeated"))
		cut := rapid.IntRange(0, len(repeated)).Draw(t, "cut")
		for what, got := range map[string]string{
			"With":  certs.Trust{}.With(repeated...).PEM(),
			"Union": certs.Trust{}.With(repeated[:cut]...).Union(certs.Trust{}.With(repeated[cut:]...)).PEM(),
		} {
			if got != want {
				t.Fatalf("the text of %s depends on the order, or on repetition", what)
			}
		}
	})
}

func TestTrustSurvivesItsText(t *testing.T) {
	trust := certs.Trust{}.With(blue.Certificate, green.Certificate)
	parsed, err := certs.ParseTrust([]byte(trust.PEM()))
	if err != nil {
		t.Fatal(err)
	}
	if parsed.PEM() != trust.PEM() {
		t.Error("the trust changed on the way through its text")
	}
}

func TestTrustLeavesItsReceiverAlone(t *testing.T) {
	trust := certs.Trust{}.With(blue.Certificate)
	before := trust.PEM()
	trust.With(green.Certificate)
	trust.Union(certs.Trust{}.With(red.Certificate))
	if trust.PEM() != before {
		t.Error("With or Union changed what it was called on")
	}
}

func TestTrustTakesNoLeaf(t *testing.T) {
	if trust := (certs.Trust{}).With(blue.Issue(host)); !trust.Empty() {
		t.Error("a leaf is in the trust bundle, and would be trusted as itself")
	}
}

func TestIssuersOf(t *testing.T) {
	intermediate := blue.Intermediate("blue intermediate")
	lowest := intermediate.Intermediate("blue lowest")
	both := certs.Trust{}.With(blue.Certificate, green.Certificate)
	tests := map[string]struct {
		trust  certs.Trust
		leaves []*x509.Certificate
		want   certs.Trust
	}{
		"of no leaf":              {both, nil, certs.Trust{}},
		"of a leaf":               {both, []*x509.Certificate{blue.Issue(host)}, certs.Trust{}.With(blue.Certificate)},
		"of leaves of both CAs":   {both, []*x509.Certificate{blue.Issue(host), green.Issue(host)}, both},
		"of a leaf of another CA": {both, []*x509.Certificate{red.Issue(host)}, certs.Trust{}},
		"an intermediate without its root": {
			certs.Trust{}.With(intermediate.Certificate, green.Certificate),
			[]*x509.Certificate{intermediate.Issue(host)}, certs.Trust{}.With(intermediate.Certificate)},
		"the whole chain": {
			certs.Trust{}.With(lowest.Certificate, intermediate.Certificate, blue.Certificate, green.Certificate),
			[]*x509.Certificate{lowest.Issue(host)}, certs.Trust{}.With(lowest.Certificate, intermediate.Certificate, blue.Certificate)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := test.trust.IssuersOf(test.leaves); got.PEM() != test.want.PEM() {
				t.Errorf("got:\n%swant:\n%s", got.PEM(), test.want.PEM())
			}
		})
	}
}

func TestHasRoot(t *testing.T) {
	intermediate := blue.Intermediate("blue intermediate")
	leaf := intermediate.Issue(host)
	chain := func(above ...*x509.Certificate) certs.Certificate {
		return certs.Certificate{X509: leaf, Issuers: above}
	}
	for name, test := range map[string]struct {
		leaf  certs.Certificate
		trust certs.Trust
		want  bool
	}{
		"with its whole chain":         {chain(intermediate.Certificate, blue.Certificate), certs.Trust{}, true},
		"with a chain that ends early": {chain(intermediate.Certificate), certs.Trust{}, false},
		"whose root is trusted":        {chain(intermediate.Certificate), certs.Trust{}.With(blue.Certificate), true},
		"with a foreign root":          {chain(intermediate.Certificate, green.Certificate), certs.Trust{}, false},
		"alone":                        {chain(), certs.Trust{}, false},
		"alone, but its signers known": {chain(), certs.Trust{}.With(blue.Certificate, intermediate.Certificate), true},
	} {
		if got := test.leaf.HasRoot(test.trust); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestABrokenBundleIsAnError(t *testing.T) {
	good := string(certstest.PEM(blue.Certificate))
	tests := map[string]string{
		"empty":                  "",
		"no PEM":                 "trust me",
		"a key among them":       good + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"a broken certificate":   good + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"a bundle that was cut":  good[:len(good)/2],
		"cut in its second part": good + good[:len(good)/2],
		"damaged in its second":  good + strings.Replace(good, "MI", "!!", 1),
		"damaged in its first":   strings.Replace(good, "MI", "!!", 1) + good,
	}
	for name, bundle := range tests {
		t.Run(name, func(t *testing.T) {
			if trust, err := certs.ParseTrust([]byte(bundle)); err == nil {
				t.Errorf("ParseTrust took it, and made:\n%s", trust.PEM())
			}
		})
	}
}

func TestABundleMayHaveComments(t *testing.T) {
	bundle := "# blue\n" + string(certstest.PEM(blue.Certificate)) + "\n# that is all\n"
	if _, err := certs.ParseTrust([]byte(bundle)); err != nil {
		t.Error(err)
	}
}

func FuzzParseTrust(f *testing.F) {
	f.Add([]byte(""))
	f.Add(certstest.PEM(blue.Certificate))
	f.Add(certstest.PEM(blue.Certificate, green.Issue(host), red.Certificate))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, bundle []byte) {
		trust, err := certs.ParseTrust(bundle)
		if err != nil || trust.Empty() {
			return
		}
		again, err := certs.ParseTrust([]byte(trust.PEM()))
		if err != nil {
			t.Fatalf("a trust bundle that was written cannot be read: %v", err)
		}
		if again.PEM() != trust.PEM() {
			t.Error("the trust changed on the way through its text")
		}
	})
}

// A trust covers another when it has all of it.
func TestContains(t *testing.T) {
	none, one, both := certs.Trust{}, certs.Trust{}.With(blue.Certificate), certs.Trust{}.With(blue.Certificate, green.Certificate)
	for name, test := range map[string]struct {
		trust, other certs.Trust
		want         bool
	}{
		"nothing covers nothing": {none, none, true},
		"one covers nothing":     {one, none, true},
		"nothing covers one":     {none, one, false},
		"both cover one":         {both, one, true},
		"one covers both":        {one, both, false},
	} {
		if got := test.trust.Contains(test.other); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// The identity of a CA is that of its key: it stays when the CA is renewed.
func TestIdentity(t *testing.T) {
	leaf := certs.Certificate{X509: blue.Issue(host), Issuers: []*x509.Certificate{blue.Certificate}}
	if signer := leaf.IssuingCA(certs.Trust{}); signer == nil || certs.Identity(signer) != certs.Identity(blue.Certificate) {
		t.Errorf("the signer of a leaf of blue is %v", signer)
	}
	if certs.Identity(blue.Certificate) == certs.Identity(green.Certificate) {
		t.Error("two CAs have one identity")
	}
	if signer := (certs.Certificate{X509: blue.Issue(host)}).IssuingCA(certs.Trust{}.With(green.Certificate)); signer != nil {
		t.Error("green signed a leaf of blue")
	}
}
