package rotation_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/controllers/internal/rotation"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
)

// mesh is a world whose nodes work with what they read last, and whose probe reports what
// it sees of them.
type mesh struct {
	*world
	nodes map[string]*node
	steps map[v1alpha1.RotationPhase]int
}

type node struct {
	down bool
	// serves is the CA of the certificate that the node read last, and trusts are those of
	// the trust bundle.
	serves string
	trusts []string
}

// read has a node read its files.
func (m *mesh) read(pod string) {
	m.nodes[pod].serves, m.nodes[pod].trusts = m.stored(pod), slices.Clone(m.situation.Trust)
}

// look has the probe look at a node.
func (m *mesh) look(pod string) {
	n := m.nodes[pod]
	if n.down {
		m.lose(pod)
		return
	}
	m.seen[pod] = statetest.Observed{Pod: pod, Serves: n.serves}
	if canary := slices.IndexFunc(m.situation.Issued, func(i statetest.Issued) bool { return i.To == "chat-probe-canary" && i.By != "" }); canary >= 0 {
		m.accept(pod, slices.Contains(n.trusts, m.situation.Issued[canary].By))
	}
}

// pass makes a step, and carries it out up to a write before which the manager may die.
func (m *mesh) pass(t *rapid.T, diesBefore string) rotation.CAStep {
	before := m.see()
	step := rotation.NextCA(before)
	m.steps[step.Phase]++
	checkStep(t, before, step)
	m.carryOut(step, diesBefore)
	m.checkLinks(t)
	m.checkStays(t, rotation.Wanted(before), step, diesBefore)
	return step
}

// checkStays demands that a rotation goes one way: what is wanted stays so until it is
// over, and whatever becomes of the nodes, the leaves do not change back.
func (m *mesh) checkStays(t *rapid.T, wanted v1alpha1.IssuerReference, step rotation.CAStep, diedBefore string) {
	t.Helper()
	later := m.see()
	later.Cluster.Status.Mesh = &v1alpha1.MeshStatus{}
	at, known := rotation.SuccessorDue(later, wanted.Name)
	due := known && !later.Now.Before(at)
	if now := rotation.Wanted(later); now != wanted && !step.Settled() && !due {
		t.Fatalf("wanted was %v, and is %v in phase %s", wanted, now, step.Phase)
	}
	if issuer := rotation.NextCA(later).Issuer; issuer != step.Issuer && diedBefore == "" {
		t.Fatalf("the leaves changed to %v, and then to %v", step.Issuer, issuer)
	}
}

// checkLinks demands that every node that runs trusts every other, and the probe, and that
// each would if it restarted now.
func (m *mesh) checkLinks(t *rapid.T) {
	t.Helper()
	served := []string{m.certificate("chat-probe").By}
	for _, pod := range m.pods() {
		served = append(served, m.certificate(pod).By)
		if n := m.nodes[pod]; !n.down {
			served = append(served, n.serves)
		}
	}
	for _, ca := range served {
		if ca != "" && !slices.Contains(m.situation.Trust, ca) {
			t.Fatalf("the trust bundle has %v, and a certificate rests on %s", m.situation.Trust, ca)
		}
		for pod, n := range m.nodes {
			if !n.down && ca != "" && !slices.Contains(n.trusts, ca) {
				t.Fatalf("%s trusts %v, and a certificate is of %s", pod, n.trusts, ca)
			}
		}
	}
}

// Whatever is asked for, whoever dies, in whatever order cert-manager, the nodes and the
// probe do their part: at every moment every node trusts every other one. When all have
// done it, the rotation is over.
func TestEveryNodeTrustsEveryOther(t *testing.T) {
	steps := map[v1alpha1.RotationPhase]int{}
	rapid.Check(t, func(t *rapid.T) {
		m := &mesh{world: newWorld("", 2), nodes: map[string]*node{}, steps: steps}
		for _, pod := range m.pods() {
			m.nodes[pod] = &node{}
			m.read(pod)
		}
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			m.event(t)
			m.checkLinks(t)
		}
		m.settle(t)
	})
	for _, phase := range []v1alpha1.RotationPhase{v1alpha1.RotationIssuingCanary, v1alpha1.RotationWideningTrust,
		v1alpha1.RotationReissuing, v1alpha1.RotationShrinkingTrust, v1alpha1.RotationProvingRefusal, v1alpha1.RotationSettled} {
		if steps[phase] == 0 {
			t.Errorf("never seen: %s", phase)
		}
	}
}

// event is something that happens.
func (m *mesh) event(t *rapid.T) {
	pod := rapid.SampledFrom(m.pods()).Draw(t, "pod")
	event := rapid.SampledFrom([]string{"pass", "pass", "pass", "dies", "issue", "issue all", "read", "look", "read", "look", "all look", "down", "up", "rotationID", "issuer", "age", "remake"}).Draw(t, "event")
	switch event {
	case "pass":
		m.pass(t, "")
	case "dies":
		m.pass(t, rapid.SampledFrom([]string{"CAs", "chat-probe", "chat-0", "chat-1", "canary", "trust", "deletions"}).Draw(t, "before"))
	case "issue":
		m.issue(rapid.SampledFrom([]string{"chat-probe", "chat-0", "chat-1", "chat-probe-canary"}).Draw(t, "owner"))
	case "issue all":
		m.issue("all")
	case "read":
		if !m.nodes[pod].down {
			m.read(pod)
		}
	case "look":
		m.look(pod)
	case "all look":
		for _, pod := range m.pods() {
			m.look(pod)
		}
	case "down":
		m.nodes[pod].down = true
	case "up":
		if m.nodes[pod].down {
			m.nodes[pod].down = false
			m.read(pod)
		}
	case "rotationID":
		m.change(rapid.SampledFrom([]string{`{tls: {issuerRef: null, ca: {rotationID: null}}}`, `{tls: {issuerRef: null, ca: {rotationID: "2026-11"}}}`,
			`{tls: {issuerRef: null, ca: {rotationID: "2027-01"}}}`}).Draw(t, "rotationID"))
	case "issuer":
		m.change(`{tls: {ca: {rotationID: null}, issuerRef: {name: corp, kind: ClusterIssuer}}}`)
	case "age":
		m.do(event, m.ca(t))
	case "remake":
		m.remake(t)
	}
}

// ca is any private CA; empty when there is none.
func (m *mesh) ca(t *rapid.T) string {
	cas := slices.Sorted(maps.Keys(m.situation.CAs))
	if len(cas) == 0 {
		return ""
	}
	return rapid.SampledFrom(cas).Draw(t, "CA")
}

// remake has cert-manager make a private CA again whose Secret was lost, and nothing be
// renewed by that until the nodes have read their files.
func (m *mesh) remake(t *rapid.T) {
	m.do("remake", m.ca(t))
	m.pass(t, "")
	for pod, n := range m.nodes {
		if !n.down {
			m.read(pod)
		}
	}
}

// issueRequested has cert-manager issue what it must, and renew nothing.
func (m *mesh) issueRequested() {
	for _, ca := range slices.Clone(m.situation.RequestedCAs) {
		m.issue(ca)
	}
	for _, issued := range m.situation.Issued {
		lost := issued.To == "chat-probe-canary" && issued.By != m.caOf(issued.AskedOf) // The plan deletes its Secret.
		if issued.Issuer != issued.AskedOf || lost {
			m.issue(issued.To)
		}
	}
}

// settle has everybody do their part, until the rotation is over.
func (m *mesh) settle(t *rapid.T) {
	m.situation.Spent = nil
	for range 80 {
		m.issueRequested()
		for _, pod := range m.pods() {
			m.nodes[pod].down = false
			m.read(pod)
			m.checkLinks(t)
			m.look(pod)
		}
		wanted := rotation.Wanted(m.see())
		if step := m.pass(t, ""); step.Settled() && step.Issuer == wanted && len(commonNames(step.Trust)) == 1 && step.Canary == nil {
			return
		}
	}
	t.Fatalf("the rotation never ends: %+v", rotation.NextCA(m.see()))
}

// checkStep is what holds for every step in whatever situation.
func checkStep(t *rapid.T, s state.State, step rotation.CAStep) {
	t.Helper()
	wanted, signing := rotation.Wanted(s), rotation.Signing(s)
	changes, shrinks := step.Issuer != signing, !step.Trust.Contains(s.Trust())
	if changes && shrinks {
		t.Fatal("two steps at once: the leaves change their issuer, and trust shrinks")
	}
	if changes {
		checkChange(t, s, step, wanted)
	}
	if shrinks {
		checkShrink(t, s, step, wanted)
	}
	for _, former := range s.PrivateCAs() {
		if !slices.Contains(step.CAs, former) {
			checkGone(t, s, step, former)
		}
	}
}

// Leaves change their issuer when every node accepts that, and to no other.
func checkChange(t *rapid.T, s state.State, step rotation.CAStep, wanted v1alpha1.IssuerReference) {
	t.Helper()
	if step.Phase != v1alpha1.RotationReissuing || step.Issuer != wanted {
		t.Fatalf("the leaves change to %v in phase %s, and %v is wanted", step.Issuer, step.Phase, wanted)
	}
	canary, ok := s.StoredCertificate(s.Names.Canary())
	if !ok || s.Trust().IssuingCA(canary.X509) == nil {
		t.Fatal("the leaves change, and the nodes were not given the CA")
	}
	accepted := v1alpha1.CanaryStatus{CertificateAuthority: certs.Identity(s.Trust().IssuingCA(canary.X509)), Result: v1alpha1.CanaryAccepted}
	for _, pod := range s.Running() {
		if node := s.Node(pod); node == nil || node.Canary == nil || *node.Canary != accepted {
			t.Fatalf("the leaves change, and %s was not seen to accept that", pod)
		}
	}
}

// Trust is lost in what no certificate rests on, stored or served.
func checkShrink(t *rapid.T, s state.State, step rotation.CAStep, wanted v1alpha1.IssuerReference) {
	t.Helper()
	if step.Issuer != wanted {
		t.Fatal("trust shrinks before the leaves are of the wanted issuer")
	}
	for _, owner := range s.CertificateOwners() {
		if leaf, ok := s.StoredCertificate(owner); ok && step.Trust.IssuingCA(leaf.X509) == nil {
			t.Fatalf("trust shrinks, and the certificate of %s rests on what is gone", owner)
		}
	}
	for _, pod := range s.Running() {
		intermediate, ok := s.Intermediate()
		if s.RequestedByKubelet(pod) && (!ok || !s.ServesBelow(pod, intermediate)) || !s.RequestedByKubelet(pod) && !s.ServesStored(pod) {
			t.Fatalf("trust shrinks, and %s was not seen to serve what it shall", pod)
		}
	}
}

// A private CA goes when nobody trusts it, as far as it can be told.
func checkGone(t *rapid.T, s state.State, step rotation.CAStep, former string) {
	t.Helper()
	if step.Issuer == certs.PrivateIssuer(former) {
		t.Fatalf("the CA %s goes, and signs", former)
	}
	for _, identity := range s.PrivateCA(former).Identities() {
		if slices.Contains(step.Trust.Identities(), identity) && !slices.Contains(s.CAOf(rotation.Wanted(s)).Identities(), identity) {
			t.Fatalf("the CA %s goes, and is trusted", former)
		}
		refused := v1alpha1.CanaryStatus{CertificateAuthority: identity, Result: v1alpha1.CanaryRefused}
		for _, pod := range s.Running() {
			if node := s.Node(pod); node == nil || node.Canary == nil || *node.Canary != refused {
				t.Fatalf("the CA %s goes, and %s was not seen to refuse it", former, pod)
			}
		}
	}
}

// Also in situations that nobody has thought of.
func TestStepIsSafeInAnySituation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := statetest.Draw(t)
		checkStep(t, s, rotation.NextCA(s))
	})
}

// A successor is due at a moment, and not before; it has the next number.
func TestSuccessorDue(t *testing.T) {
	for id, names := range map[string][2]string{"": {"chat-ca-r3", "chat-ca-r4"}, "2026-11": {"chat-ca-05e01bd6-r3", "chat-ca-05e01bd6-r4"}} {
		w := newWorld(`{tls: {ca: {rotationID: "`+id+`"}}}`, 1)
		w.situation.CAs = map[string]string{names[0]: names[0]}
		w.age(names[0])
		s := w.see()
		for _, certificate := range s.Certificates {
			if !certificate.Spec.IsCA {
				certificate.Spec.IssuerRef.Name = names[0]
			}
		}
		at, known := rotation.SuccessorDue(s, names[0])
		if !known || !at.Before(s.Now) {
			t.Fatalf("the successor of %s is due at %s", names[0], at)
		}
		for now, want := range map[time.Time]string{at.Add(-time.Second): names[0], at: names[1], at.AddDate(10, 0, 0): names[1]} {
			s.Now = now
			if got := rotation.Wanted(s).Name; got != want {
				t.Errorf("at %s %s is wanted, not %s", now, got, want)
			}
		}
	}
}

// cert-manager may issue the CA of a new cluster twice. While no node was observed, that is
// no rotation.
func TestNewClusterDoesNotRotate(t *testing.T) {
	cluster := statetest.MustCluster(`
metadata: {name: chat, namespace: shop}
spec: {template: {spec: {containers: [{name: chat, image: "example.com/chat:1"}]}}}
`)
	situation := statetest.Situation{CA: "green", Trust: []string{"blue"},
		Issued: []statetest.Issued{{To: "chat-probe", By: "green"}, {To: "chat-0", By: "blue", AskedOf: "chat-ca"}},
		Pods:   []statetest.Pod{{Name: "chat-0"}}, StatefulSet: &statetest.StatefulSet{Replicas: 1}}
	for _, by := range []string{"blue", "green"} {
		situation.Issued[1].By = by
		if step := rotation.NextCA(situation.Seen(cluster.DeepCopy())); !step.Settled() {
			t.Errorf("with a certificate by %s: %s", by, step)
		}
	}
}

// Whoever deletes the trust bundle while nodes change to another CA does not take the CA
// from it that a node still serves a certificate of.
func TestDeletedTrustBundleKeepsTheCAThatIsServed(t *testing.T) {
	const green = "chat-ca-05e01bd6"
	cluster := statetest.MustCluster(`
metadata: {name: chat, namespace: shop}
spec: {replicas: 2, tls: {ca: {rotationID: 2026-11}}, template: {spec: {containers: [{name: chat, image: "example.com/chat:1"}]}}}
`)
	situation := statetest.Situation{CA: "blue", CAs: map[string]string{green: "green"}, StatefulSet: &statetest.StatefulSet{Replicas: 2}}
	for _, pod := range []string{"chat-0", "chat-1", "chat-probe"} {
		situation.Issued = append(situation.Issued, statetest.Issued{To: pod, By: "green", Issuer: green})
	}
	situation.Pods = []statetest.Pod{{Name: "chat-0"}, {Name: "chat-1"}}
	for serves, cas := range map[string]int{"blue": 2, "green": 1} {
		situation.Observed = []statetest.Observed{{Pod: "chat-0", Serves: "green"}, {Pod: "chat-1", Serves: serves}}
		s := situation.Seen(cluster.DeepCopy())
		trust := rotation.NextCA(s).Trust
		if !trust.Contains(s.PrivateCA(green)) || trust.Contains(s.PrivateCA("chat-ca")) != (serves == "blue") || len(trust.CAs()) != cas {
			t.Errorf("while a node serves %s, %d CAs are trusted", serves, len(trust.CAs()))
		}
	}
}
