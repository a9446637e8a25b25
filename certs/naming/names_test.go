package naming_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"pgregory.net/rapid"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
)

func namesOf(name, namespace, basename string) naming.Names {
	cluster := &v1alpha1.ErlangCluster{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}}
	cluster.Spec.Distribution.NodeBasename = basename
	return naming.Of(cluster, naming.DefaultDomain)
}

func TestNamesOfNodes(t *testing.T) {
	tests := map[string]struct {
		basename string
		want     string
	}{
		"named after the cluster": {"", "chat@chat-2.chat-nodes.shop.svc.cluster.local"},
		"with a basename":         {"Talk_1", "Talk_1@chat-2.chat-nodes.shop.svc.cluster.local"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			names := namesOf("chat", "shop", test.basename)
			if got := names.Node(names.Pod(2)); got != test.want {
				t.Errorf("Node = %q, want %q", got, test.want)
			}
			if got, want := names.Node(names.Pod(2)), names.Basename()+"@"+names.Host(names.Pod(2)); got != want {
				t.Errorf("Node = %q, want basename@host %q: the certificate's SAN must be what follows the @", got, want)
			}
		})
	}
}

func TestPods(t *testing.T) {
	if diff := cmp.Diff([]string{"chat-0", "chat-1", "chat-2"}, namesOf("chat", "shop", "").Pods(3)); diff != "" {
		t.Errorf("Pods (-want +got):\n%s", diff)
	}
}

func TestOrdinalRefusesOtherNames(t *testing.T) {
	names := namesOf("chat", "shop", "")
	for _, pod := range []string{"", "chat", "chat-", "chat-x", "chat-01", "chat--1", "chat-+1", "chat-1-tls", "chat-probe", "other-1", "chat-1-1", "chat-99999999999"} {
		if ordinal, ok := names.Ordinal(pod); ok {
			t.Errorf("Ordinal(%q) = %d, want none: no member has that name", pod, ordinal)
		}
	}
}

func TestOrdinalIsTheInverseOfPod(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := drawNames(t)
		ordinal := rapid.Int32Range(0, math.MaxInt32).Draw(t, "ordinal")
		if got, ok := names.Ordinal(names.Pod(ordinal)); !ok || got != ordinal {
			t.Fatalf("Ordinal(Pod(%d)) = %d, %t", ordinal, got, ok)
		}
	})
}

// The longest names that the API allows must be valid.
func TestNamesFitWhereTheyAreUsed(t *testing.T) {
	longest := namesOf(strings.Repeat("c", 40), strings.Repeat("n", 63), strings.Repeat("b", 40))
	checkNames(t, longest)
	rapid.Check(t, func(t *rapid.T) { checkNames(t, drawNames(t)) })
}

// failer is implemented by *testing.T and *rapid.T.
type failer interface {
	Helper()
	Errorf(string, ...any)
}

func checkNames(t failer, names naming.Names) {
	t.Helper()
	pod := names.Pod(99)
	if node := names.Node(pod); len(node) > 255 {
		t.Errorf("node name %q has %d characters, and an atom at most 255", node, len(node))
	}
	for _, host := range []string{names.Host(pod), names.ProbeHost()} {
		if problems := validation.IsDNS1123Subdomain(host); len(problems) > 0 {
			t.Errorf("host %q: %v", host, problems)
		}
	}
	// Pod names and what is a label's value or a Service must be labels of DNS.
	for _, label := range []string{pod, names.Service()} {
		if problems := validation.IsDNS1035Label(label); len(problems) > 0 {
			t.Errorf("name %q: %v", label, problems)
		}
	}
	// A StatefulSet labels its pods with <name>-<hash of ten characters>.
	if revision := names.StatefulSet() + "-0123456789"; len(revision) > validation.LabelValueMaxLength {
		t.Errorf("revision %q is too long for a label", revision)
	}
	// A common name of X.509 has at most 64 characters.
	for _, commonName := range []string{pod, names.Probe(), names.CA("2026-11"), names.NumberedCA("2026-11", 999)} {
		if len(commonName) > 64 {
			t.Errorf("common name %q has %d characters, and may have 64", commonName, len(commonName))
		}
	}
	for _, name := range []string{names.CookieSecret(), names.SelfSignedIssuer(), names.CA("2026-11"), names.Distribution(),
		names.Certificate(pod), names.Certificate(names.Probe()), names.NetworkPolicy(), names.PodDisruptionBudget()} {
		if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
			t.Errorf("name %q: %v", name, problems)
		}
	}
}

// No two Secrets and no two Certificates of a cluster have the same name.
func TestSecretsHaveDifferentNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := drawNames(t)
		all := map[string]string{}
		add := func(name, what string) {
			if other, taken := all[name]; taken {
				t.Fatalf("%s and %s are both called %q", what, other, name)
			}
			all[name] = what
		}
		add(names.CookieSecret(), "the cookie")
		add(names.CA(""), "the first CA")
		add(names.CA("2026-11"), "the CA")
		add(names.CA("2026-12"), "the next CA")
		add(names.NumberedCA("", 2), "the second CA")
		add(names.NumberedCA("2026-11", 2), "the second CA of a rotation")
		add(names.Certificate(names.Probe()), "the probe's certificate")
		add(names.Certificate(names.Canary()), "the canary")
		for _, pod := range names.Pods(100) {
			add(names.Certificate(pod), "the certificate of "+pod)
		}
	})
}

// The number of a CA is parsed from its name, but not from a name of another rotation.
func TestNumberOfCA(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := drawNames(t)
		id, other := rapid.StringMatching(`([A-Za-z0-9._-]{1,63})?`).Draw(t, "id"), rapid.StringMatching(`([A-Za-z0-9._-]{1,63})?`).Draw(t, "other")
		number := rapid.IntRange(1, 1000).Draw(t, "number")
		name := names.NumberedCA(id, number)
		if got, ok := names.NumberOfCA(id, name); !ok || got != number {
			t.Fatalf("the number in %s is %d (%t), want %d", name, got, ok, number)
		}
		if _, ok := names.NumberOfCA(other, name); ok && other != id {
			t.Fatalf("%s is of %q, and taken for one of %q", name, id, other)
		}
	})
	names := namesOf("chat", "shop", "")
	for _, name := range []string{"chat-ca-r1", "chat-ca-r02", "chat-ca-r", "chat-ca-r-2", "chat-ca-r2x", "chat-ca-", "corp", ""} {
		if number, ok := names.NumberOfCA("", name); ok {
			t.Errorf("%q is taken for number %d", name, number)
		}
	}
}

// The DNS domain is parsed from the hosts of pods and probe, whatever it is, and from no
// other name.
func TestClusterDomainOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cluster := &v1alpha1.ErlangCluster{ObjectMeta: metav1.ObjectMeta{Name: "chat", Namespace: "shop"}}
		want := rapid.StringMatching(`[a-z]([a-z0-9-]{0,8}[a-z0-9])?(\.(svc|[a-z]{1,9})){0,3}`).Draw(t, "domain")
		names := naming.Of(cluster, want)
		for _, host := range []string{names.Host("chat-3"), names.ProbeHost()} {
			if got, ok := namesOf("chat", "shop", "").ClusterDomainOf(host); !ok || got != want {
				t.Fatalf("the domain of %s is %q (%t), want %q", host, got, ok, want)
			}
		}
	})
	for _, host := range []string{"", "chat", "chat-0.chat-nodes.other.svc.cluster.local", "chat-0.pay-nodes.shop.svc.cluster.local",
		"pay-probe.shop.svc.cluster.local", "chat-0.chat-nodes.shop.svc.", "x.y.chat-nodes.shop.svc.cluster.local"} {
		if domain, ok := namesOf("chat", "shop", "").ClusterDomainOf(host); ok {
			t.Errorf("%q is taken for a host under %s", host, domain)
		}
	}
}

func drawNames(t *rapid.T) naming.Names {
	return namesOf(
		rapid.StringMatching(`[a-z]([-a-z0-9]{0,38}[a-z0-9])?`).Draw(t, "cluster"),
		rapid.StringMatching(`[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?`).Draw(t, "namespace"),
		rapid.StringMatching(`([A-Za-z][A-Za-z0-9_-]{0,39})?`).Draw(t, "basename"))
}
