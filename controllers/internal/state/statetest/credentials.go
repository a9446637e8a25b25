package statetest

import (
	"cmp"
	"crypto/x509"
	"maps"
	"slices"
	"strings"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/certstest"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/rotation"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

func (s Situation) addCredentials(observed *state.State) {
	names := observed.Names
	if s.Cookie != "" {
		secret := &corev1.Secret{Data: map[string][]byte{naming.CookieKey: []byte(s.Cookie), naming.WrittenCookieKey: []byte(s.Cookie)}}
		if s.EditedCookie != "" {
			secret.Data[naming.CookieKey] = []byte(s.EditedCookie)
		}
		if s.PreviousCookie != "" {
			secret.Data[naming.PreviousCookieKey] = []byte(s.PreviousCookie)
		}
		own(observed, secret, "Secret", names.CookieSecret())
		if s.RotationID != "" {
			secret.Annotations = map[string]string{naming.RotationAnnotation: s.RotationID}
		}
		observed.Secrets[secret.Name] = secret
	}
	s.addMesh(observed)
	cas := map[string]string{}
	maps.Copy(cas, s.CAs)
	if s.CA != "" {
		cas[names.CA("")] = s.CA
	}
	for _, name := range slices.Sorted(maps.Keys(cas)) {
		ca := s.authority(cas[name]).Certificate
		s.addCertificate(observed, name, certstest.PEM(ca), nil)
		observed.Certificates[name].Spec.IsCA = true
	}
	for _, name := range s.RequestedCAs {
		addRequested(observed, name)
		observed.Certificates[name].Spec.IsCA = true
	}
	for _, issued := range s.Issued {
		s.addIssued(observed, issued)
	}
	if s.Intermediate != nil {
		s.addIntermediate(observed, *s.Intermediate)
	}
	for _, owner := range s.Requested {
		addRequested(observed, names.Certificate(owner))
	}
	if len(s.Trust) > 0 {
		trust := certs.Trust{}
		for _, ca := range s.Trust {
			trust = trust.With(s.authority(ca).Certificate)
		}
		observed.Distribution = &corev1.ConfigMap{Data: map[string]string{
			naming.TrustKey: trust.PEM(), naming.OptionsKey: certs.Options(),
		}}
		own(observed, observed.Distribution, "ConfigMap", names.Distribution())
	}
}

func (s Situation) addIssued(observed *state.State, issued Issued) {
	names := observed.Names
	name, host := names.Certificate(issued.To), names.Host(issued.To)
	if issued.To == names.Probe() || issued.To == names.Canary() {
		host = names.ProbeHost()
	}
	if issued.By == "" {
		addRequested(observed, name)
	} else {
		ca := s.authority(issued.By)
		var caCrt []byte
		if issued.WithCA {
			caCrt = certstest.PEM(ca.Certificate)
		}
		tlsCrt := certstest.PEM(ca.Issue(host, issued.edit))
		if issued.Through != "" {
			intermediate := ca.Intermediate(issued.Through)
			tlsCrt = certstest.PEM(intermediate.Issue(host, issued.edit), intermediate.Certificate)
		}
		s.addCertificate(observed, name, tlsCrt, caCrt)
	}
	askOf(observed, name, issued.Issuer, issued.AskedOf)
	if forger := s.authority(issued.Forged); issued.Forged != "" {
		secret := observed.Secrets[name]
		secret.Data[corev1.TLSCertKey] = certstest.PEM(forger.Issue(host))
		secret.Data[naming.AuthorityKey] = certstest.PEM(forger.Certificate)
	}
}

func (s Situation) addIntermediate(observed *state.State, intermediate Intermediate) {
	name := observed.Names.Intermediate()
	if intermediate.By == "" {
		addRequested(observed, name)
	} else {
		above := s.authority(intermediate.By)
		certificate := above.Intermediate(cmp.Or(intermediate.Called, name)).Certificate
		if intermediate.NoCA {
			certificate = above.Issue(name)
		}
		s.addCertificate(observed, name, certstest.PEM(certificate), certstest.PEM(above.Certificate))
	}
	observed.Certificates[name].Spec.IsCA = true
	askOf(observed, name, intermediate.Issuer, intermediate.AskedOf)
}

// askOf notes the issuer that a certificate came from, if it did, and the one that its
// Certificate names.
func askOf(observed *state.State, name, from, askedOf string) {
	issuer := issuerCalled(observed, from)
	if secret := observed.Secrets[name]; secret != nil {
		issuedBy(secret, issuer)
		addRequest(observed, name, issuer)
	}
	if askedOf != "" {
		issuer = issuerCalled(observed, askedOf)
	}
	observed.Certificates[name].Spec.IssuerRef = certmanagermeta.IssuerReference{Name: issuer.Name, Kind: issuer.Kind, Group: issuer.Group}
}

// authority of a common name.
func (s Situation) authority(name string) certstest.Authority {
	return certstest.NewAuthority(name, func(ca *x509.Certificate) {
		if slices.Contains(s.Spent, name) {
			ca.NotBefore, ca.NotAfter = certstest.Start.AddDate(-10, 0, 0), Now.AddDate(0, 0, 20)
		}
	})
}

// issuerCalled is the issuer of that name: the wanted one, one of ours, or else one
// for all namespaces.
func issuerCalled(observed *state.State, name string) v1alpha1.IssuerReference {
	wanted := rotation.Wanted(*observed)
	switch {
	case name == "" || name == wanted.Name:
		return wanted
	case strings.HasPrefix(name, observed.Names.CA("")):
		return certs.PrivateIssuer(name)
	}
	return v1alpha1.IssuerReference{Name: name, Kind: certmanager.ClusterIssuerKind, Group: certmanager.SchemeGroupVersion.Group}
}

// addMesh adds the probe's report.
func (s Situation) addMesh(observed *state.State) {
	if len(s.Verified)+len(s.Observed) == 0 {
		return
	}
	mesh := &v1alpha1.MeshStatus{}
	observed.Cluster.Status.Mesh = mesh
	observed.HeartbeatObserved = observed.Now.Add(-s.Silent)
	if secret := observed.Secrets[observed.Names.CookieSecret()]; secret != nil {
		mesh.CookieVersion = secret.ResourceVersion
	}
	for _, pod := range s.Verified {
		mesh.Nodes = append(mesh.Nodes, v1alpha1.NodeStatus{Pod: pod, PodUID: string(podUID(pod)), Reason: v1alpha1.ReasonVerified})
	}
	for _, o := range s.Observed {
		node := mesh.Node(o.Pod)
		if node == nil {
			mesh.Nodes = append(mesh.Nodes, v1alpha1.NodeStatus{Pod: o.Pod, PodUID: string(podUID(o.Pod)), Reason: v1alpha1.ReasonVerified})
			node = &mesh.Nodes[len(mesh.Nodes)-1]
		}
		node.FormerCookie = o.FormerCookie
		if o.Serves != "" {
			ca := certstest.NewAuthority(o.Serves)
			node.CertificateSerial = certs.Serial(ca.Issue(observed.Names.Host(o.Pod)))
			node.CertificateAuthority = certs.Identity(ca.Certificate)
		}
		if canary := o.Accepts + o.Refuses; canary != "" {
			node.Canary = &v1alpha1.CanaryStatus{
				CertificateAuthority: certs.Identity(certstest.NewAuthority(canary).Certificate), Result: v1alpha1.CanaryRefused}
			if o.Accepts != "" {
				node.Canary.Result = v1alpha1.CanaryAccepted
			}
		}
	}
}

// addCertificate adds a Certificate, and the Secret that cert-manager made for it.
func (s Situation) addCertificate(observed *state.State, name string, tlsCrt, caCrt []byte) {
	certificate := &certmanager.Certificate{Status: certmanager.CertificateStatus{
		Conditions: []certmanager.CertificateCondition{{
			Type: certmanager.CertificateConditionReady, Status: certmanagermeta.ConditionTrue, Reason: "Ready",
		}},
	}}
	own(observed, certificate, "Certificate", name)
	observed.Certificates[name] = certificate

	secret := &corev1.Secret{Data: map[string][]byte{corev1.TLSCertKey: tlsCrt}}
	if caCrt != nil {
		secret.Data["ca.crt"] = caCrt
	}
	own(observed, secret, "Secret", name)
	secret.Annotations = map[string]string{certmanager.CertificateNameKey: name}
	if s.Unowned {
		secret.OwnerReferences = nil
		observed.Owned = slices.DeleteFunc(observed.Owned, func(o state.Object) bool { return o == state.Object(secret) })
	}
	observed.Secrets[name] = secret
}

// addRequest adds the CertificateRequest that a certificate was issued for.
func addRequest(observed *state.State, name string, issuer v1alpha1.IssuerReference) {
	data := observed.Secrets[name].Data
	request := &certmanager.CertificateRequest{
		ObjectMeta: metav1.ObjectMeta{Name: name + "-1", Namespace: observed.Names.Namespace, CreationTimestamp: metav1.NewTime(certstest.Start)},
		Spec: certmanager.CertificateRequestSpec{
			IssuerRef: certmanagermeta.IssuerReference{Name: issuer.Name, Kind: issuer.Kind, Group: issuer.Group}},
		Status: certmanager.CertificateRequestStatus{Certificate: data[corev1.TLSCertKey], CA: data[naming.AuthorityKey]},
	}
	observed.Issued[name] = request
}

// addRequested adds a Certificate that nothing has come of yet.
func addRequested(observed *state.State, name string) {
	certificate := &certmanager.Certificate{}
	own(observed, certificate, "Certificate", name)
	certificate.CreationTimestamp = metav1.NewTime(certstest.Start)
	observed.Certificates[name] = certificate
}
