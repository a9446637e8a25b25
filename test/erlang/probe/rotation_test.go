//go:build erlang

package probe

import (
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/probe/sweep"
	"github.com/erlang-operator/erlang-operator/probe/verify"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// rotating are nodes whose files are laid out as in a pod, and change.
type rotating struct {
	*cluster
	nodes  []*beam.Node
	stored []string // serial numbers
}

const trustFile, identityFile = "distribution/" + naming.TrustKey, "tls/" + naming.CombinedKey

// startRotating starts a node of each release, some with another clock, by their ordinals.
func startRotating(t *testing.T, clocks map[int]clock) *rotating {
	r := &rotating{cluster: newCluster(t)}
	for ordinal, otp := range beam.Releases {
		host := r.Host([]string{"chat-0", "chat-1", "chat-2"}[ordinal])
		identity := r.ca.Issue(host.Name)
		r.nodes = append(r.nodes, host.Start(beam.Options{
			OTP: otp, Cookie: cookie, FixedPort: port,
			TLS: &beam.TLS{Identity: identity, CAs: r.ca.PEM, OptionsFile: certs.Options()},
			Files: clocks[ordinal].with(map[string][]byte{
				identityFile: slices.Concat(identity.KeyPEM, identity.CertPEM),
				trustFile:    r.ca.PEM,
			}),
			Env: clocks[ordinal].environment(),
		}))
		r.stored = append(r.stored, r.serial(identity))
	}
	return r
}

func (r *rotating) serial(identity beam.Identity) string {
	r.t.Helper()
	leaf, err := x509.ParseCertificate(identity.TLS.Certificate[0])
	if err != nil {
		r.t.Fatal(err)
	}
	return certs.Serial(leaf)
}

// fromNow is a change for Issue and NewCA: issued now, by a machine whose clock is right.
func fromNow(c *x509.Certificate) { c.NotBefore = time.Now() }

// reissue replaces the certificate of every node.
func (r *rotating) reissue(ca *beam.CA) {
	for i, node := range r.nodes {
		identity := ca.Issue(node.Host.Name, fromNow)
		node.WriteFile(identityFile, slices.Concat(identity.KeyPEM, identity.CertPEM))
		r.stored[i] = r.serial(identity)
	}
}

// trust replaces the trust bundle.
func (r *rotating) trust(cas ...*beam.CA) {
	r.t.Helper()
	var bundle []byte
	for _, ca := range cas {
		bundle = append(bundle, ca.PEM...)
	}
	for _, node := range r.nodes {
		node.WriteFile(trustFile, bundle)
	}
	trust, err := certs.ParseTrust(bundle)
	if err != nil {
		r.t.Fatal(err)
	}
	r.verifier.Credentials.Trust = trust
}

// canary issues the canary by that CA.
func (r *rotating) canary(ca *beam.CA) {
	r.t.Helper()
	identity := ca.Issue("probe." + beam.Domain)
	canary, err := verify.ParseCanary(slices.Concat(identity.KeyPEM, identity.CertPEM), identity.CertPEM, ca.PEM, r.verifier.Credentials.Trust)
	if err != nil {
		r.t.Fatal(err)
	}
	r.verifier.Credentials.Canary = canary
}

// look sweeps, and requires that no link was lost, that every node is verified, and what
// the sweep reports of its certificates.
func (r *rotating) look(what string, accepts, outdated bool, serial ...string) {
	r.t.Helper()
	members := make([]sweep.Member, len(r.nodes))
	for i, node := range r.nodes {
		members[i] = sweep.Member{Target: target(node), Stored: r.stored[i]}
	}
	result := sweep.Run(deadline(r.t), r.verifier, members, sweep.Options{Concurrency: 16, HealingTime: 20 * time.Second})
	r.wantReasons(result, "Verified", "Verified", "Verified")
	if len(result.Made) > 0 || !result.Mesh.Whole() {
		r.t.Errorf("%s: links %v had to be made again, the parts are %v", what, result.Made, result.Mesh.Components())
	}
	for i, outcome := range result.Outcomes {
		if outcome.CertificatesError != nil || outcome.Outdated != outdated || outcome.CertificateSerial != serial[i] {
			r.t.Errorf("%s: %s is out of date: %t, want %t; it serves %s, want %s; %v",
				what, outcome.Node, outcome.Outdated, outdated, outcome.CertificateSerial, serial[i], outcome.CertificatesError)
		}
		if canary := r.verifier.Credentials.Canary; canary == nil {
			continue
		} else if want := (sweep.Canary{Authority: canary.Authority, Accepted: accepts}); outcome.Canary == nil || *outcome.Canary != want {
			r.t.Errorf("%s: the canary at %s: %+v, want %+v", what, outcome.Node, outcome.Canary, want)
		}
	}
}

// Nodes serve another certificate one sweep after it is in their files, and change from one
// CA to another, while their links stay.
func TestCertificatesChange(t *testing.T) { certificatesChange(t, startRotating(t, nil)) }

func certificatesChange(t *testing.T, r *rotating) {
	if result := r.sweep(r.nodes); !result.Mesh.Whole() {
		t.Fatalf("parts are %v", result.Mesh.Components())
	}
	r.look("nothing has changed", false, false, r.stored...)

	before := slices.Clone(r.stored)
	r.reissue(r.ca)
	r.look("renewed", false, true, before...)
	r.look("renewed, and reloaded", false, false, r.stored...)

	old, next := r.ca, beam.NewCA(t, "next", fromNow)
	r.canary(next)
	r.look("the new CA is not trusted", false, false, r.stored...)
	r.trust(old, next)
	r.canary(next)
	r.look("trust has widened", false, true, r.stored...)
	r.look("trust has widened, and reloaded", true, false, r.stored...)

	before = slices.Clone(r.stored)
	r.reissue(next)
	r.verifier.Credentials.Certificate = next.Issue("probe." + beam.Domain).TLS
	r.canary(old)
	r.look("reissued", true, true, before...)
	r.look("reissued, and reloaded", true, false, r.stored...)

	r.trust(next)
	r.canary(old)
	r.look("trust has shrunk", true, true, r.stored...)
	r.look("trust has shrunk, and reloaded", false, false, r.stored...)

	// New links are made with the new credentials.
	r.verifier.Credentials.Canary = nil
	r.ca = next // that dial trusts
	r.call(r.dial(r.nodes[2], cookie), "erlang", "disconnect_node", erldist.Atom(r.nodes[0].Name))
	var result sweep.Result
	for range 2 { // global(3kernel) may take down more than that, and needs a moment
		if result = r.sweep(r.nodes); result.Mesh.Whole() {
			return
		}
	}
	t.Errorf("after the rotation the parts are %v", result.Mesh.Components())
}
