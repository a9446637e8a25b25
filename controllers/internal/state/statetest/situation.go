// Package statetest makes what a reconciler may see, for tests: a few words about a
// situation become the objects that are there in it.
package statetest

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/certstest"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/rotation"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// Now is when everything is seen: a day and a half after the certificates were
// issued.
var Now = certstest.Start.Add(36 * time.Hour)

// A Situation is what there is beside the ErlangCluster itself. The zero value is
// that of a cluster that was made a moment ago.
type Situation struct {
	// AdmissionPolicyMissing from the Kubernetes cluster.
	AdmissionPolicyMissing bool `json:"admissionPolicyMissing,omitempty"`
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
		Cluster:                cluster,
		Names:                  naming.Of(cluster, naming.DefaultDomain),
		ConfiguredDomain:       naming.DefaultDomain,
		Now:                    Now,
		Certificates:           map[string]*certmanager.Certificate{},
		Requests:               map[string]*certmanager.CertificateRequest{},
		Issued:                 map[string]*certmanager.CertificateRequest{},
		Secrets:                map[string]*corev1.Secret{},
		AdmissionPolicyInForce: !s.AdmissionPolicyMissing,
		AdmissionPolicySince:   certstest.Start.Add(2 * time.Hour), // later than the pods
		PodCertificatesServed:  !s.PodCertificatesMissing,
	}
	s.addCredentials(&observed)
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

func (s Situation) addPods(observed *state.State) {
	if s.StatefulSet != nil {
		set := &appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{Replicas: &s.StatefulSet.Replicas}}
		set.Spec.Template.Spec.Volumes = []corev1.Volume{identityVolume(s.StatefulSet.Delivery, "erlang-operator-admission-policy-missing")}
		own(observed, set, "StatefulSet", observed.Names.StatefulSet())
		observed.StatefulSet = set
	}
	for _, pod := range s.Pods {
		observed.Pods = append(observed.Pods, pod.object(observed))
	}
}

func podUID(name string) types.UID { return types.UID("uid-of-pod-" + name) }

func (p Pod) object(observed *state.State) corev1.Pod {
	object := corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: p.Name, Namespace: observed.Names.Namespace,
		UID: podUID(p.Name), ResourceVersion: "7",
		CreationTimestamp: metav1.NewTime(certstest.Start.Add(time.Hour)),
	}}
	if set := observed.StatefulSet; set != nil || p.Former {
		if p.Former {
			set = &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: observed.Names.StatefulSet(), UID: "uid-of-the-former"}}
		}
		object.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(set, gvkOf("StatefulSet"))}
	}
	secret := observed.Names.Certificate(p.Name)
	if p.WithoutIdentity {
		secret = "erlang-operator-admission-policy-missing"
	}
	object.Spec.Volumes = []corev1.Volume{identityVolume(p.Delivery, secret)}
	object.Status.Phase = p.Phase
	if p.Phase == "" {
		object.Status.Phase = corev1.PodRunning
		object.Status.Conditions = []corev1.PodCondition{{Type: corev1.ContainersReady, Status: corev1.ConditionTrue}}
	}
	if p.Leaving {
		object.DeletionTimestamp = &metav1.Time{Time: Now}
	}
	return object
}

// issuedBy notes the issuer as cert-manager does.
func issuedBy(secret *corev1.Secret, issuer v1alpha1.IssuerReference) {
	maps.Copy(secret.Annotations, map[string]string{
		certmanager.IssuerNameAnnotationKey:  issuer.Name,
		certmanager.IssuerKindAnnotationKey:  issuer.Kind,
		certmanager.IssuerGroupAnnotationKey: issuer.Group,
	})
}

// identityVolume is the volume that a node has its certificate in.
func identityVolume(delivery v1alpha1.CertificateDelivery, secret string) corev1.Volume {
	volume := corev1.Volume{Name: naming.TLSVolume}
	if delivery == v1alpha1.DeliveryPodCertificate {
		volume.Projected = &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{
			PodCertificate: &corev1.PodCertificateProjection{SignerName: certs.SignerName}}}}
	} else {
		volume.Secret = &corev1.SecretVolumeSource{SecretName: secret}
	}
	return volume
}

func (i Issued) edit(certificate *x509.Certificate) {
	if i.NotAfter != nil {
		certificate.NotAfter = i.NotAfter.Time
	}
}

// own makes an object the cluster's, as the API server would show it.
func own(observed *state.State, object state.Object, kind, name string) {
	object.GetObjectKind().SetGroupVersionKind(gvkOf(kind))
	object.SetName(name)
	object.SetNamespace(observed.Names.Namespace)
	object.SetUID(types.UID("uid-of-" + strings.ToLower(kind) + "-" + name))
	object.SetResourceVersion("7")
	object.SetLabels(map[string]string{v1alpha1.Group + "/cluster": observed.Names.Cluster})
	object.SetOwnerReferences([]metav1.OwnerReference{
		*metav1.NewControllerRef(observed.Cluster, v1alpha1.SchemeGroupVersion.WithKind("ErlangCluster")),
	})
	observed.Owned = append(observed.Owned, object)
}

func empty(kind string) state.Object {
	object, err := scheme.New(gvkOf(kind))
	if err != nil {
		panic(fmt.Sprintf("a situation with a %s: %v", kind, err))
	}
	return object.(state.Object)
}

// gvkOf finds the group and version of a kind.
func gvkOf(kind string) schema.GroupVersionKind {
	for gvk := range scheme.AllKnownTypes() {
		if gvk.Kind == kind && gvk.Version == "v1" {
			return gvk
		}
	}
	panic(fmt.Sprintf("a situation with a %s, which is no kind of ours", kind))
}

var scheme = func() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, corev1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme, certmanager.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	return scheme
}()
