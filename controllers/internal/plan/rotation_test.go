package plan_test

import (
	"slices"
	"testing"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/rotation"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
)

// drawRotation makes a cluster whose CA changes, as far along as chance has it: nearer
// to what may happen than drawState, so that every step is taken often. It was asked for,
// or the time of the CA was nearly up.
func drawRotation(t *rapid.T) state.State {
	cluster := statetest.MustCluster(`
metadata: {name: chat, namespace: shop}
spec:
  replicas: 2
  template: {spec: {containers: [{name: chat, image: "example.com/chat:1"}]}}
`)
	successor, spent := rotated, []string(nil)
	if rapid.Bool().Draw(t, "by time") {
		successor, spent = "chat-ca-r2", rapid.SampledFrom([][]string{{"blue"}, {"blue", "green"}}).Draw(t, "spent")
	} else {
		cluster.Spec.TLS.CA.RotationID = "2026-11"
	}
	mostly := func(usual, other, what string) string {
		if rapid.IntRange(0, 9).Draw(t, what) == 0 {
			return other
		}
		return usual
	}
	cas := map[string]string{"chat-ca": "blue", successor: "green"}
	after := rapid.Bool().Draw(t, "after the switch")
	named := map[bool]string{false: "chat-ca", true: successor}
	situation := statetest.Situation{
		CAs: cas, Spent: spent, Cookie: "TheCookieOfTheCluster", StatefulSet: &statetest.StatefulSet{Replicas: 2},
		Trust: rapid.SampledFrom([][]string{{"blue"}, {"blue", "green"}, {"green"}}).Draw(t, "trust"),
	}
	for _, owner := range []string{"chat-probe", "chat-0", "chat-1"} {
		issuer := mostly(named[after], "chat-ca", "issuer of "+owner)
		situation.Issued = append(situation.Issued, statetest.Issued{
			To: owner, By: cas[issuer], Issuer: issuer, AskedOf: mostly(named[after], successor, "asked for "+owner)})
		if owner == "chat-probe" {
			continue
		}
		situation.Pods = append(situation.Pods, statetest.Pod{Name: owner})
		observed := statetest.Observed{Pod: owner, Serves: mostly(cas[issuer], "", owner+" serves")}
		canary := mostly(cas[named[!after]], "red", "canary of "+owner)
		if mostly("accepts", "refuses", "result of "+owner) == "accepts" != after {
			observed.Accepts = canary
		} else {
			observed.Refuses = canary
		}
		situation.Observed = append(situation.Observed, observed)
	}
	canary := mostly(named[!after], named[after], "canary")
	situation.Issued = append(situation.Issued, statetest.Issued{To: "chat-probe-canary", By: cas[canary], Issuer: canary})
	return situation.Seen(cluster)
}

// steps counts what a property has seen happen: one that never saw it proves nothing.
type steps map[string]int

func (s steps) demand(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if s[name] == 0 {
			t.Errorf("never seen: %s", name)
		}
	}
}

// named is the issuer that all the leaves of a plan name.
func named(t failer, s state.State, p plan.Plan) v1alpha1.IssuerReference {
	t.Helper()
	var issuer v1alpha1.IssuerReference
	for _, certificate := range certificatesOf(t, p) {
		if certificate.Spec.IsCA || certificate.Name == s.Names.Certificate(s.Names.Canary()) {
			continue
		}
		ref := certificate.Spec.IssuerRef
		this := v1alpha1.IssuerReference{Name: ref.Name, Kind: ref.Kind, Group: ref.Group}
		if issuer != (v1alpha1.IssuerReference{}) && issuer != this {
			t.Fatalf("the leaves are of two issuers: %v and %v", issuer, this)
		}
		issuer = this
	}
	return issuer
}

func certificatesOf(t failer, p plan.Plan) []certmanager.Certificate {
	t.Helper()
	var all []certmanager.Certificate
	for _, configuration := range p.Apply {
		if *configuration.GetKind() == "Certificate" {
			var certificate certmanager.Certificate
			convert(t, configuration, &certificate)
			all = append(all, certificate)
		}
	}
	return all
}

// trustOf is the trust bundle of a plan; that of now when it has none.
func trustOf(t failer, s state.State, p plan.Plan) certs.Trust {
	t.Helper()
	for _, configuration := range p.Apply {
		if *configuration.GetKind() != "ConfigMap" {
			continue
		}
		var applied corev1.ConfigMap
		convert(t, configuration, &applied)
		trust, err := certs.ParseTrust([]byte(applied.Data[naming.TrustKey]))
		if err != nil {
			t.Fatalf("%v", err)
		}
		return trust
	}
	return s.Trust()
}

// isAsked says that a pod's kubelet asks for its certificate, or will.
func isAsked(s state.State, pod string) bool {
	if there := s.Pod(pod); there != nil {
		return there.Spec.Volumes[0].Projected != nil
	}
	return s.StatefulSet != nil && s.StatefulSet.Spec.Template.Spec.Volumes[0].Projected != nil
}

func checkRotation(t *rapid.T, s state.State, happened steps) {
	p := plan.Make(s, operator, freshCookie)
	wanted, signing, issuer := rotation.Wanted(s), rotation.Signing(s), named(t, s, p)
	trust := trustOf(t, s, p)

	// Leaves change their issuer when every node accepts that, and to no other.
	if issuer != signing {
		happened["switched"]++
		if issuer != wanted {
			t.Fatalf("the leaves change to %v, and %v is wanted", issuer, wanted)
		}
		canary, ok := s.StoredCertificate(s.Names.Canary())
		if !ok || s.Trust().IssuingCA(canary.X509) == nil {
			t.Fatal("the leaves change, and the nodes were not given the CA")
		}
		for _, pod := range s.Running() {
			node := s.Node(pod)
			if node == nil || node.Canary == nil || node.Canary.Result != v1alpha1.CanaryAccepted ||
				node.Canary.CertificateAuthority != certs.Identity(s.Trust().IssuingCA(canary.X509)) {
				t.Fatalf("the leaves change, and %s was not seen to accept that", pod)
			}
		}
	}

	// Whatever becomes of the nodes then, they do not change back.
	later := copied(s)
	for _, certificate := range certificatesOf(t, p) {
		later.Certificates[certificate.Name] = &certificate
	}
	later.Cluster.Status.Mesh = nil
	if next := named(t, later, plan.Make(later, operator, freshCookie)); next != issuer {
		t.Fatalf("the leaves changed to %v, and then to %v", issuer, next)
	}

	// Trust is lost in what no certificate rests on, stored or served.
	if !trust.Contains(s.Trust()) {
		happened["shrunk"]++
		if issuer != wanted {
			t.Fatal("trust shrinks before the leaves are of the wanted issuer")
		}
		for _, owner := range s.CertificateOwners() {
			if leaf, ok := s.StoredCertificate(owner); ok && trust.IssuingCA(leaf.X509) == nil {
				t.Fatalf("trust shrinks, and the certificate of %s rests on what is gone", owner)
			}
		}
		for _, pod := range s.Running() {
			if intermediate, ok := s.Intermediate(); isAsked(s, pod) && ok && s.ServesBelow(pod, intermediate) {
				continue
			}
			if isAsked(s, pod) || !s.ServesStored(pod) {
				t.Fatalf("trust shrinks, and %s was not seen to serve what is stored", pod)
			}
		}
	}

	// A private CA goes when nobody trusts it, as far as it can be told.
	for _, object := range p.Delete {
		certificate, ok := object.(*certmanager.Certificate)
		if !ok || !certificate.Spec.IsCA || certificate.Name == s.Names.Intermediate() {
			continue
		}
		happened["gone"]++
		if issuer == certs.PrivateIssuer(certificate.Name) {
			t.Fatalf("the CA %s goes, and signs", certificate.Name)
		}
		for _, identity := range s.PrivateCA(certificate.Name).Identities() {
			if slices.Contains(trust.Identities(), identity) && !slices.Contains(s.CAOf(wanted).Identities(), identity) {
				t.Fatalf("the CA %s goes, and is trusted", certificate.Name)
			}
			for _, pod := range s.Running() {
				node := s.Node(pod)
				if node == nil || node.Canary == nil || node.Canary.Result != v1alpha1.CanaryRefused || node.Canary.CertificateAuthority != identity {
					t.Fatalf("the CA %s goes, and %s was not seen to refuse it", certificate.Name, pod)
				}
			}
		}
	}
}

// What is wanted stays so as long as nobody changes the spec and its time is not up,
// whatever becomes of the nodes: a rotation has an end.
func TestWhatIsWantedStays(t *testing.T) {
	happened := steps{}
	rapid.Check(t, func(t *rapid.T) {
		s := drawRotation(t)
		if rapid.Bool().Draw(t, "at rest") {
			s = spentAtRest(rapid.SampledFrom([]string{"", "2026-11"}).Draw(t, "rotationID"), rapid.IntRange(1, 12).Draw(t, "number"))
		}
		wanted := rotation.Wanted(s)
		if s.Certificates[wanted.Name] == nil {
			happened["a new one"]++
		}
		if at, known := rotation.SuccessorDue(s, wanted.Name); known && !s.Now.Before(at) {
			return // When this rotation is over the next one begins.
		}
		for range 2 {
			p := plan.Make(s, operator, freshCookie)
			later := copied(s)
			for _, certificate := range certificatesOf(t, p) {
				later.Certificates[certificate.Name] = &certificate
			}
			for _, object := range p.Delete {
				if _, ok := object.(*certmanager.Certificate); ok {
					delete(later.Certificates, object.GetName())
					delete(later.Secrets, object.GetName())
				}
			}
			if s = later; rotation.Wanted(s) != wanted {
				t.Fatalf("wanted was %v, and is %v", wanted, rotation.Wanted(s))
			}
		}
	})
	happened.demand(t, "a new one")
}

// spentAtRest is a cluster whose CA has little time left, and that no rotation has seen.
func spentAtRest(id string, number int) state.State {
	cluster := statetest.MustCluster(`
metadata: {name: chat, namespace: shop}
spec: {template: {spec: {containers: [{name: chat, image: "example.com/chat:1"}]}}}
`)
	cluster.Spec.TLS.CA.RotationID = id
	ca := naming.Of(cluster, naming.DefaultDomain).NumberedCA(id, number)
	return statetest.Situation{
		CAs: map[string]string{ca: "blue"}, Spent: []string{"blue"}, Trust: []string{"blue"}, Cookie: "TheCookieOfTheCluster",
		Issued: []statetest.Issued{{To: "chat-probe", By: "blue", Issuer: ca}, {To: "chat-0", By: "blue", Issuer: ca}},
	}.Seen(cluster)
}

// A CA is replaced when its time is nearly up, and not a moment before.
func TestSpentCA(t *testing.T) {
	for id, names := range map[string][2]string{"": {"chat-ca-r3", "chat-ca-r4"}, "2026-11": {rotated + "-r3", rotated + "-r4"}} {
		s := spentAtRest(id, 3)
		at, known := rotation.SuccessorDue(s, names[0])
		if !known || !at.Before(s.Now) {
			t.Fatalf("%s is spent at %s", names[0], at)
		}
		for now, want := range map[time.Time]string{at.Add(-time.Second): names[0], at: names[1], at.AddDate(10, 0, 0): names[1]} {
			s.Now = now
			if got := rotation.Wanted(s).Name; got != want {
				t.Errorf("at %s %s is wanted, not %s", now, got, want)
			}
		}
	}
}

func TestRotationIsSafe(t *testing.T) {
	happened := steps{}
	rapid.Check(t, func(t *rapid.T) { checkRotation(t, drawRotation(t), happened) })
	happened.demand(t, "switched", "shrunk", "gone")
}

// In situations that nobody has thought of, too.
func TestRotationIsSafeInAnySituation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkRotation(t, drawState(t), steps{}) })
}

// Nodes that are not there hold nothing up: to scale to zero is the way out when none of
// them can be asked any more.
func TestScaledToZeroHoldsNothingUp(t *testing.T) {
	at := func(replicas int32) plan.Plan {
		cluster := statetest.MustCluster(`
metadata: {name: chat, namespace: shop}
spec: {tls: {ca: {rotationID: "2026-11"}}, template: {spec: {containers: [{name: chat, image: "example.com/chat:1"}]}}}
`)
		cluster.Spec.Replicas = &replicas
		s := statetest.Situation{
			CAs: map[string]string{"chat-ca": "blue", rotated: "green"}, Trust: []string{"blue", "green"}, Cookie: "TheCookieOfTheCluster",
			StatefulSet: &statetest.StatefulSet{Replicas: replicas},
			Issued: []statetest.Issued{{To: "chat-probe", By: "blue", Issuer: "chat-ca"}, {To: "chat-0", By: "blue", Issuer: "chat-ca"},
				{To: "chat-probe-canary", By: "green", Issuer: rotated}},
		}.Seen(cluster)
		return plan.Make(s, operator, freshCookie)
	}
	for replicas, want := range map[int32]string{1: "chat-ca", 0: rotated} {
		for _, certificate := range certificatesOf(t, at(replicas)) {
			if certificate.Name == "chat-probe-tls" && certificate.Spec.IssuerRef.Name != want {
				t.Errorf("of %d nodes that cannot be asked: certificates by %s, want %s", replicas, certificate.Spec.IssuerRef.Name, want)
			}
		}
	}
}
