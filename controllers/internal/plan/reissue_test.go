package plan_test

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/certstest"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
)

// forged is a cluster whose certificate of chat-0 somebody has overwritten with one of
// another CA.
func forged(issuer *v1alpha1.IssuerReference) state.State {
	return running(v1alpha1.TLSSpec{IssuerRef: issuer}, v1alpha1.CookieSpec{}, func(s *statetest.Situation) {
		if issuer != nil {
			s.Issuer, s.CA, s.Trust = &statetest.Issuer{}, "", []string{"corp"}
		}
		for i := range s.Issued {
			if issuer != nil {
				s.Issued[i].By, s.Issued[i].Issuer, s.Issued[i].WithCA = "corp", "corp", true
			}
			if s.Issued[i].To == "chat-0" {
				s.Issued[i].Forged = "mallory"
			}
		}
	})
}

// Whoever can write a node's Secret can put a certificate of any CA there, and that CA
// beside it. Nobody comes to trust it, and the certificate is reissued.
func TestForeignCAInALeafWidensNoTrust(t *testing.T) {
	for name, issuer := range map[string]*v1alpha1.IssuerReference{
		"of a private CA": nil, "of the user's issuer": {Name: "corp", Kind: "ClusterIssuer", Group: "cert-manager.io"},
	} {
		t.Run(name, func(t *testing.T) {
			s := forged(issuer)
			p := plan.Make(s, operator, freshCookie)
			for _, trust := range plannedTrust(t, s) {
				if trust.PEM() != s.Trust().PEM() {
					t.Errorf("the nodes shall trust %d CAs", len(trust.CAs()))
				}
			}
			if len(p.Delete) != 1 || p.Delete[0] != state.Object(s.Secrets["chat-0-tls"]) {
				t.Errorf("deletes %v", p.Delete)
			}
			for _, object := range objects(t, p) {
				if object.Kind == "Secret" && object.Name == "chat-0-tls" {
					t.Error("it writes into the Secret that it deletes")
				}
			}
			for _, pod := range p.Refresh {
				if *pod.GetName() == "chat-0" {
					t.Error("the kubelet is told to fetch the foreign certificate")
				}
			}
		})
	}
}

// The Secret was made a moment ago: whoever overwrites it again and again has it deleted
// now and then.
func TestForeignLeafIsReissuedNowAndThen(t *testing.T) {
	s := forged(nil)
	s.Secrets["chat-0-tls"].CreationTimestamp = metav1.NewTime(s.Now.Add(-10 * time.Second))
	p := plan.Make(s, operator, freshCookie)
	if len(p.Delete) != 0 || !p.Again.Equal(s.Now.Add(20*time.Second)) {
		t.Errorf("deletes %v, and looks again at %s; now is %s", p.Delete, p.Again, s.Now)
	}
}

// cert-manager looks at key and name alone, so a foreign certificate in place of the
// intermediate CA's would keep every kubelet waiting, and one in place of the canary's the
// rotation.
func TestForeignIntermediateAndCanaryAreReissued(t *testing.T) {
	mallory := certstest.NewAuthority("mallory")
	for name, overwritten := range map[string]bool{"chat-intermediate": true, "chat-probe-canary-tls": true, "nothing": false} {
		t.Run(name, func(t *testing.T) {
			s := running(v1alpha1.TLSSpec{}, v1alpha1.CookieSpec{}, func(s *statetest.Situation) {
				s.Intermediate = &statetest.Intermediate{By: "blue", Issuer: "chat-ca"}
				s.CAs = map[string]string{"chat-ca-05e01bd6": "green"}
				s.Issued = append(s.Issued, statetest.Issued{To: "chat-probe-canary", By: "green", Issuer: "chat-ca-05e01bd6"})
			})
			s.Cluster.Spec.TLS.CA.RotationID, s.Cluster.Spec.TLS.Delivery = "2026-11", v1alpha1.DeliveryPodCertificate
			if overwritten {
				s.Secrets[name].Data[corev1.TLSCertKey] = certstest.PEM(mallory.Intermediate(name).Certificate)
				s.Secrets[name].Data[naming.AuthorityKey] = certstest.PEM(mallory.Certificate)
			}
			var deleted []string
			for _, object := range plan.Make(s, operator, freshCookie).Delete {
				if object.GetObjectKind().GroupVersionKind().Kind == "Secret" {
					deleted = append(deleted, object.GetName())
				}
			}
			if overwritten != slices.Contains(deleted, name) || len(deleted) > 1 {
				t.Errorf("it deletes the Secrets %v", deleted)
			}
		})
	}
}

// In whatever situation: no CA comes into the trust bundle by the Secret of a leaf.
func TestNoTrustComesFromALeaf(t *testing.T) {
	forgeries := 0
	rapid.Check(t, func(t *rapid.T) {
		s := statetest.Draw(t)
		for _, trust := range plannedTrust(t, s) {
			for _, ca := range trust.CAs() {
				if ca.Subject.CommonName == "mallory" {
					t.Fatal("the nodes shall trust the CA of a forged certificate")
				}
			}
		}
		for _, owner := range s.CertificateOwners() {
			if leaf, ok := s.StoredCertificate(owner); ok && leaf.X509.Issuer.CommonName == "mallory" {
				forgeries++
			}
		}
	})
	if forgeries == 0 {
		t.Error("no certificate was forged")
	}
}

// A canary of a CA that was lost since then proves nothing, and is reissued.
func TestCanaryOfALostCAIsReissued(t *testing.T) {
	for by, deleted := range map[string]int{"chat-ca-r2": 0, "one before": 1} {
		s := running(v1alpha1.TLSSpec{}, v1alpha1.CookieSpec{}, func(s *statetest.Situation) {
			s.CAs = map[string]string{"chat-ca": "chat-ca", "chat-ca-r2": "chat-ca-r2"}
			s.Issued = append(s.Issued, statetest.Issued{To: "chat-probe-canary", AskedOf: "chat-ca-r2", Issuer: "chat-ca-r2", By: by})
		})
		if p := plan.Make(s, operator, freshCookie); len(p.Delete) != deleted {
			t.Errorf("with a canary by %s: deletes %v", by, p.Delete)
		}
	}
}
