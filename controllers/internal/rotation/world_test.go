package rotation_test

import (
	"fmt"
	"maps"
	"slices"

	"sigs.k8s.io/yaml"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/rotation"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
)

// world is a cluster in which the steps of a rotation are carried out, and in which
// cert-manager, the nodes and the probe do their part when a test has them do it. A
// private CA has the name of its Certificate for its common name.
type world struct {
	spec      map[string]any
	situation statetest.Situation
	seen      map[string]statetest.Observed
	cookies   int
	// readSpec is the cluster of that spec.
	readSpec *v1alpha1.ErlangCluster
	ofCookie bool
}

// newWorld is a settled cluster of that spec.
func newWorld(spec string, replicas int) *world {
	w := &world{spec: map[string]any{
		"replicas": replicas,
		"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "chat", "image": "example.com/chat:1"}}}},
	}, seen: map[string]statetest.Observed{}}
	w.change(spec)
	w.situation = statetest.Situation{CAs: map[string]string{}, Cookie: "first", Issuer: &statetest.Issuer{},
		StatefulSet: &statetest.StatefulSet{Delivery: w.cluster().Spec.TLS.Delivery}}
	for range 3 {
		w.carryOut(rotation.NextCA(w.see()), "")
		w.issue("all")
	}
	for _, pod := range w.pods() {
		w.start(pod)
		w.serve(pod)
		w.verify(pod)
	}
	return w
}

func (w *world) private(issuer string) bool { return issuer != "corp" }

func (w *world) cluster() *v1alpha1.ErlangCluster {
	if w.readSpec != nil {
		return w.readSpec.DeepCopy()
	}
	text, err := yaml.Marshal(map[string]any{"metadata": map[string]any{"name": "chat", "namespace": "shop"}, "spec": w.spec})
	if err != nil {
		panic(err)
	}
	w.readSpec = statetest.MustCluster(string(text))
	return w.readSpec.DeepCopy()
}

func (w *world) pods() []string {
	cluster := w.cluster()
	return naming.Of(cluster, naming.DefaultDomain).Pods(*cluster.Spec.Replicas)
}

// see is what a pass observes.
func (w *world) see() state.State {
	situation := w.situation
	situation.Issued = slices.Clone(situation.Issued)
	situation.Observed = slices.Collect(maps.Values(w.seen))
	s := situation.Seen(w.cluster())
	if s.Cluster.Status.Mesh == nil {
		s.Cluster.Status.Mesh = &v1alpha1.MeshStatus{} // The probe has reported, if not of these nodes.
	}
	return s
}

// change merges a patch into the spec.
func (w *world) change(patch string) {
	var changes map[string]any
	if err := yaml.Unmarshal([]byte(patch), &changes); err != nil {
		panic(fmt.Sprintf("%s: %v", patch, err))
	}
	merge(w.spec, changes)
	w.readSpec = nil
}

func merge(into, changes map[string]any) {
	for key, value := range changes {
		inner, isMap := value.(map[string]any)
		there, wasMap := into[key].(map[string]any)
		switch {
		case value == nil:
			delete(into, key)
		case isMap && wasMap:
			merge(there, inner)
		default:
			into[key] = value
		}
	}
}

// A write is a part of what carrying out a step does.
type write struct {
	what string
	do   func()
}

// carryOut makes what a step needs, in the order of the manager, which may die before a
// write.
func (w *world) carryOut(step rotation.CAStep, diesBefore string) {
	for _, write := range w.writes(step) {
		if write.what == diesBefore {
			return
		}
		write.do()
	}
}

func (w *world) writes(step rotation.CAStep) []write {
	writes := []write{{"CAs", func() { w.askCAs(step.CAs) }}}
	for _, owner := range append([]string{"chat-probe"}, w.pods()...) {
		if owner == "chat-probe" || w.delivery() != v1alpha1.DeliveryPodCertificate {
			writes = append(writes, write{owner, func() { w.certificate(owner).AskedOf = step.Issuer.Name }})
		}
	}
	if w.delivery() == v1alpha1.DeliveryPodCertificate {
		writes = append(writes, write{"chat-intermediate", func() { w.askIntermediate(step.Issuer.Name) }})
	}
	if step.Canary != nil {
		writes = append(writes, write{"canary", func() { w.certificate("chat-probe-canary").AskedOf = step.Canary.Name }})
	}
	return append(writes,
		write{"trust", func() { w.situation.Trust = commonNames(step.Trust) }},
		write{"deletions", func() { w.prune(step) }})
}

func (w *world) askCAs(names []string) {
	for _, name := range names {
		if w.situation.CAs[name] == "" && !slices.Contains(w.situation.RequestedCAs, name) {
			w.situation.RequestedCAs = append(w.situation.RequestedCAs, name)
		}
	}
}

func (w *world) askIntermediate(issuer string) {
	if w.situation.Intermediate == nil {
		w.situation.Intermediate = &statetest.Intermediate{}
	}
	w.situation.Intermediate.AskedOf = issuer
}

// prune deletes the CAs and the canary that a step does not need.
func (w *world) prune(step rotation.CAStep) {
	unneeded := func(name string) bool { return !slices.Contains(step.CAs, name) }
	maps.DeleteFunc(w.situation.CAs, func(name, _ string) bool { return unneeded(name) })
	w.situation.RequestedCAs = slices.DeleteFunc(w.situation.RequestedCAs, unneeded)
	if step.Canary == nil {
		w.situation.Issued = slices.DeleteFunc(w.situation.Issued, func(i statetest.Issued) bool { return i.To == "chat-probe-canary" })
	}
}

func (w *world) delivery() v1alpha1.CertificateDelivery { return w.situation.StatefulSet.Delivery }

// certificate of an owner, which is made if there is none.
func (w *world) certificate(owner string) *statetest.Issued {
	at := slices.IndexFunc(w.situation.Issued, func(i statetest.Issued) bool { return i.To == owner })
	if at < 0 {
		at = len(w.situation.Issued)
		w.situation.Issued = append(w.situation.Issued, statetest.Issued{To: owner})
	}
	return &w.situation.Issued[at]
}

// issue has cert-manager issue what a Certificate asks for: that of a private CA, of an
// owner, of the intermediate CA, or of all owners.
func (w *world) issue(name string) {
	switch {
	case name == "all":
		for _, ca := range slices.Clone(w.situation.RequestedCAs) {
			w.issue(ca)
		}
		for i := range w.situation.Issued {
			w.issue(w.situation.Issued[i].To)
		}
		if w.situation.Intermediate != nil {
			w.issue("chat-intermediate")
		}
	case slices.Contains(w.situation.RequestedCAs, name):
		w.situation.CAs[name] = name
		w.situation.RequestedCAs = slices.DeleteFunc(w.situation.RequestedCAs, func(ca string) bool { return ca == name })
	case name == "chat-intermediate":
		i := w.situation.Intermediate
		if ca := w.caOf(i.AskedOf); ca != "" {
			i.By, i.Issuer, i.Called = ca, i.AskedOf, "intermediate of "+ca
		}
	default:
		certificate := w.certificate(name)
		if ca := w.caOf(certificate.AskedOf); ca != "" {
			if seen, known := w.seen[name]; known && ca != certificate.By {
				seen.Serves = "" // The certificate of before.
				w.seen[name] = seen
			}
			certificate.By, certificate.Issuer, certificate.WithCA = ca, certificate.AskedOf, true
		}
	}
}

// caOf is the common name of the CA of an issuer; empty while it has none.
func (w *world) caOf(issuer string) string {
	if w.private(issuer) {
		return w.situation.CAs[issuer]
	}
	return issuer
}

// stored is the CA of the certificate that a pod has from a Secret or its kubelet.
func (w *world) stored(pod string) string {
	if w.delivery() == v1alpha1.DeliveryPodCertificate {
		return w.situation.Intermediate.Called
	}
	return w.certificate(pod).By
}

// start runs a pod; the probe has not looked at its node yet.
func (w *world) start(pod string) {
	w.stop(pod)
	w.situation.Pods = append(w.situation.Pods, statetest.Pod{Name: pod, Delivery: w.delivery()})
	w.situation.StatefulSet.Replicas = max(w.situation.StatefulSet.Replicas, int32(len(w.situation.Pods)))
}

// stop ends a pod.
func (w *world) stop(pod string) {
	w.lose(pod)
	w.situation.Pods = slices.DeleteFunc(w.situation.Pods, func(p statetest.Pod) bool { return p.Name == pod })
}

// lose is a probe that cannot reach a node.
func (w *world) lose(pod string) {
	delete(w.seen, pod)
	w.situation.Verified = slices.DeleteFunc(w.situation.Verified, func(verified string) bool { return verified == pod })
}

// serve is a probe that saw a node serve the certificate that is stored for it.
func (w *world) serve(pod string) {
	seen := w.seen[pod]
	seen.Pod, seen.Serves = pod, w.stored(pod)
	w.seen[pod] = seen
}

// accept is a probe that saw a node accept the canary, or refuse it.
func (w *world) accept(pod string, accepts bool) {
	seen, canary := w.seen[pod], w.certificate("chat-probe-canary").By
	seen.Pod, seen.Accepts, seen.Refuses = pod, "", canary
	if accepts {
		seen.Accepts, seen.Refuses = canary, ""
	}
	w.seen[pod] = seen
}

// verify is a probe that verified a node with the cookie as it is stored.
func (w *world) verify(pod string) {
	if seen, known := w.seen[pod]; known {
		seen.FormerCookie = false
		w.seen[pod] = seen
	}
	if !slices.Contains(w.situation.Verified, pod) {
		w.situation.Verified = append(w.situation.Verified, pod)
	}
}

// keep is a probe that verified a node with the former cookie.
func (w *world) keep(pod string) {
	w.verify(pod)
	w.seen[pod] = statetest.Observed{Pod: pod, FormerCookie: true}
}

// age makes the successor of a private CA due.
func (w *world) age(ca string) {
	if !slices.Contains(w.situation.Spent, w.situation.CAs[ca]) {
		w.situation.Spent = append(w.situation.Spent, w.situation.CAs[ca])
	}
}

// nextCookie makes the step of the cookie, and carries it out.
func (w *world) nextCookie() rotation.CookieStep {
	s := w.see()
	var imported []byte
	if w.situation.UserCookie != nil {
		imported = []byte(*w.situation.UserCookie.Value)
	}
	step := rotation.NextCookie(s, imported, fmt.Appendf(nil, "drawn-%d", w.cookies+1))
	if step.Former != nil {
		w.cookies++
	}
	if step.Cookie != nil {
		w.situation.EditedCookie = ""
		w.situation.Cookie, w.situation.PreviousCookie = string(step.Cookie), string(step.Former)
		w.situation.RotationID = step.RotationID
		w.newVersion()
	}
	return step
}

// newVersion makes the cookie's Secret one that the probe has verified no node with.
func (w *world) newVersion() { w.seen, w.situation.Verified = map[string]statetest.Observed{}, nil }

func commonNames(trust certs.Trust) []string {
	var names []string
	for _, ca := range trust.CAs() {
		names = append(names, ca.Subject.CommonName)
	}
	slices.Sort(names)
	return names
}
