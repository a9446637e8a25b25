// Package statetest makes what a reconciler may see, for tests: a few words about a
// situation become the objects that are there in it.
package statetest

import (
	"cmp"
	"strings"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/certstest"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// Now is when everything is seen: a day and a half after the certificates were
// issued.
var Now = certstest.Start.Add(36 * time.Hour)

// A Situation is what there is beside the ErlangCluster itself. The zero value is
// that of a cluster that was made a moment ago.
type Situation struct {
	// PodIdentity is Policy by default.
	PodIdentity state.PodIdentity `json:"podIdentity,omitempty"`
	// AdmissionLacks what it needs to be in force.
	AdmissionLacks state.Lack `json:"admissionLacks,omitempty"`
	// PodCertificatesMissing from it.
	PodCertificatesMissing bool `json:"podCertificatesMissing,omitempty"`
	// Intermediate CA that cert-manager has made, if there is one.
	Intermediate *Intermediate `json:"intermediate,omitempty"`
	// CA that cert-manager has made, by its common name: the one of the first rotation
	// of all.
	CA string `json:"ca,omitempty"`
	// CAs of rotations: common names by the names of their Secrets.
	CAs map[string]string `json:"cas,omitempty"`
	// Spent are the common names of CAs whose time is nearly up.
	Spent []string `json:"spent,omitempty"`
	// RequestedCAs are not issued yet.
	RequestedCAs []string `json:"requestedCAs,omitempty"`
	// Trust bundle of the nodes: common names of CAs.
	Trust []string `json:"trust,omitempty"`
	// Cookie in the cluster's own Secret.
	Cookie string `json:"cookie,omitempty"`
	// EditedCookie is what somebody has put into its place.
	EditedCookie string `json:"editedCookie,omitempty"`
	// PreviousCookie in that Secret: the nodes are changing from it.
	PreviousCookie string `json:"previousCookie,omitempty"`
	// RotationID that the cookie was drawn for.
	RotationID string `json:"rotationID,omitempty"`
	// Verified are the pods whose nodes the probe has verified with the cookie as it is.
	Verified []string `json:"verified,omitempty"`
	// Silent is for how long the probe has not reported.
	Silent time.Duration `json:"silent,omitempty"`
	// Observed of nodes by the probe.
	Observed []Observed `json:"observed,omitempty"`
	// Issued certificates.
	Issued []Issued `json:"issued,omitempty"`
	// Requested are the owners of Certificates that are not issued yet.
	Requested []string `json:"requested,omitempty"`
	// Unowned: the Secrets of cert-manager do not have the owner reference yet.
	Unowned bool `json:"unowned,omitempty"`
	// StatefulSet that is there.
	StatefulSet *StatefulSet `json:"statefulSet,omitempty"`
	// Pods of nodes.
	Pods []Pod `json:"pods,omitempty"`
	// Others that the cluster owns, as Kind/name.
	Others []string `json:"others,omitempty"`
	// UserCookie is what cookie.secretKeyRef names, if it is there.
	UserCookie *UserCookie `json:"userCookie,omitempty"`
	// Issuer is what tls.issuerRef names, if it is there.
	Issuer *Issuer `json:"issuer,omitempty"`
}

// Issued is a certificate that is there.
type Issued struct {
	// To is the pod, or the probe.
	To string `json:"to"`
	// By is the common name of the CA; empty while only the Certificate is there.
	By string `json:"by,omitempty"`
	// Issuer that it came from; unless set, the one that the spec wants.
	Issuer string `json:"issuer,omitempty"`
	// AskedOf is the issuer that the Certificate names by now, if another.
	AskedOf string `json:"askedOf,omitempty"`
	// WithCA is whether the issuer sends its CA along.
	WithCA bool `json:"withCA,omitempty"`
	// Through is the common name of an intermediate CA below that, which signs, and which
	// the issuer sends along in any case.
	Through string `json:"through,omitempty"`
	// Forged is the common name of another CA: somebody has written a certificate of it over
	// the one that was issued, and it as ca.crt.
	Forged string `json:"forged,omitempty"`
	// NotAfter, unless the usual.
	NotAfter *metav1.Time `json:"notAfter,omitempty"`
}

// Intermediate is the certificate of the CA that signs what kubelets ask for.
type Intermediate struct {
	// By is the common name of the CA above it; empty while only the Certificate is there.
	By string `json:"by,omitempty"`
	// Called is its common name, unless that of its Certificate.
	Called string `json:"called,omitempty"`
	// Issuer that it came from, and AskedOf the one that the Certificate names by now, as of
	// Issued.
	Issuer  string `json:"issuer,omitempty"`
	AskedOf string `json:"askedOf,omitempty"`
	// NoCA: the issuer has made it something else.
	NoCA bool `json:"noCA,omitempty"`
}

// Observed is what the probe reported of a node's certificates.
type Observed struct {
	Pod string `json:"pod"`
	// Serves a certificate of the CA of that common name.
	Serves string `json:"serves,omitempty"`
	// Accepts and Refuses are the common name of the canary's CA.
	Accepts string `json:"accepts,omitempty"`
	Refuses string `json:"refuses,omitempty"`
	// FormerCookie: its file does not have the current one yet.
	FormerCookie bool `json:"formerCookie,omitempty"`
}

// StatefulSet that is there.
type StatefulSet struct {
	Replicas int32 `json:"replicas"`
	// Delivery that its template has, unless Secret.
	Delivery v1alpha1.CertificateDelivery `json:"delivery,omitempty"`
}

// Pod of a node.
type Pod struct {
	Name string `json:"name"`
	// Phase; Running unless set.
	Phase corev1.PodPhase `json:"phase,omitempty"`
	// Leaving: it is being deleted.
	Leaving bool `json:"leaving,omitempty"`
	// Former: a StatefulSet of a former cluster of this name controls it.
	Former bool `json:"former,omitempty"`
	// WithoutIdentity: the admission policy has missed it.
	WithoutIdentity bool `json:"withoutIdentity,omitempty"`
	// Delivery of its certificate, unless Secret.
	Delivery v1alpha1.CertificateDelivery `json:"delivery,omitempty"`
}

// UserCookie is a Secret of the user's.
type UserCookie struct {
	// Value under the key that is asked for; nil when there is no such key.
	Value *string `json:"value,omitempty"`
}

// Issuer is an issuer of the user's.
type Issuer struct {
	// Refuses is what it says when it is not ready.
	Refuses string `json:"refuses,omitempty"`
	// OfNoKind: this Kubernetes has no such kind.
	OfNoKind bool `json:"ofNoKind,omitempty"`
}

// Seen is the cluster in this situation.
func (s Situation) Seen(cluster *v1alpha1.ErlangCluster) state.State {
	observed := state.State{
		Cluster:          cluster,
		Names:            naming.Of(cluster, naming.DefaultDomain),
		ConfiguredDomain: naming.DefaultDomain,
		Now:              Now,
		Certificates:     map[string]*certmanager.Certificate{},
		Requests:         map[string]*certmanager.CertificateRequest{},
		Issued:           map[string]*certmanager.CertificateRequest{},
		Secrets:          map[string]*corev1.Secret{},
		Admission: state.Admission{By: cmp.Or(s.PodIdentity, state.ByPolicy), Lacking: s.AdmissionLacks,
			Since: certstest.Start.Add(2 * time.Hour)}, // later than the pods
		PodCertificatesServed: !s.PodCertificatesMissing,
		MaySign:               true,
	}
	s.addCredentials(&observed)
	if s.Cookie != "" { // The first pass has created both.
		own(&observed, &corev1.ServiceAccount{}, "ServiceAccount", observed.Names.Probe())
	}
	s.addPods(&observed)
	for _, other := range s.Others {
		kind, name, _ := strings.Cut(other, "/")
		own(&observed, empty(kind), kind, name)
	}
	if cluster.Spec.Cookie.SecretKeyRef != nil {
		observed.UserCookie = &state.UserCookie{Found: s.UserCookie != nil}
		if s.UserCookie != nil && s.UserCookie.Value != nil {
			observed.UserCookie.KeyFound, observed.UserCookie.Value = true, []byte(*s.UserCookie.Value)
		}
	}
	if ref := cluster.Spec.TLS.IssuerRef; ref != nil {
		external := ref.Group != certmanager.SchemeGroupVersion.Group
		observed.Issuer = &state.Issuer{KindKnown: true, Found: external || s.Issuer != nil}
		if s.Issuer != nil {
			observed.Issuer.Refuses, observed.Issuer.KindKnown = s.Issuer.Refuses, !s.Issuer.OfNoKind
		}
	}
	return observed
}
