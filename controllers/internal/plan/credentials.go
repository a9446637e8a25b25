package plan

import (
	"fmt"
	"maps"
	"slices"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	applymeta "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/rotation"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// cookie creates the cookie once, the user's or else a fresh one, and replaces it as its
// rotation goes. Nodes run with it, so nothing else ever changes it.
func cookie(p *Plan, s state.State, fresh string) {
	imported, problem := importedCookie(s)
	secret := s.Secrets[s.Names.CookieSecret()]
	first := map[string][]byte{naming.CookieKey: []byte(fresh)}
	if imported != nil {
		first[naming.CookieKey] = imported
	}
	switch {
	case problem != nil:
		p.Problems = append(p.Problems, *problem)
	case s.Cookie() == nil && imported == nil && len(s.Pods) > 0:
		// Nodes with a new cookie could not join those with the lost one.
		p.problem(v1alpha1.ReasonCookieLost, fmt.Sprintf(
			"Secret %s/%s, or the cookie in it, is gone, and %d pods run with that cookie. Put it (from a backup, or ERLANG_COOKIE of a pod, unless the cookie was rotated since that pod started) into a Secret of your own and name that in cookie.secretKeyRef, or scale to 0 to have another one made",
			s.Names.Namespace, s.Names.CookieSecret(), len(s.Pods)))
	case secret == nil:
		p.Create = append(p.Create, cookieSecret(s, first))
	case s.Cookie() == nil:
		p.Replace = append(p.Replace, replacing(secret, cookieSecret(s, first)))
	default:
		rotateCookie(p, s, rotation.NextCookie(s, imported, []byte(fresh)))
	}
}

// rotateCookie has the Secret hold what the rotation of the cookie needs.
func rotateCookie(p *Plan, s state.State, step rotation.CookieStep) {
	if !step.Settled() {
		p.hold(v1alpha1.ReasonRotatingCookie, step.WaitingFor)
	}
	if step.Cookie == nil {
		return
	}
	data := map[string][]byte{naming.CookieKey: step.Cookie}
	if step.Former != nil {
		data[naming.PreviousCookieKey] = step.Former
	}
	p.Replace = append(p.Replace, replacing(s.Secrets[s.Names.CookieSecret()], cookieSecret(s, data)))
}

func cookieSecret(s state.State, data map[string][]byte) *corev1.Secret {
	secret := &corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{
			Name: s.Names.CookieSecret(), Namespace: s.Names.Namespace,
			Labels:          Labels(s.Names.Cluster),
			OwnerReferences: []metav1.OwnerReference{OwnerReference(s.Cluster)},
		},
		Data: data,
	}
	if id := s.Cluster.Spec.Cookie.RotationID; id != "" {
		secret.Annotations = map[string]string{naming.RotationAnnotation: id}
	}
	return secret
}

// replacing binds a Secret to the very version of the one that was seen.
func replacing(there, by *corev1.Secret) *corev1.Secret {
	by.UID, by.ResourceVersion = there.UID, there.ResourceVersion
	if by.Annotations == nil {
		by.Annotations = there.Annotations
	}
	return by
}

// importedCookie is the cookie of the user's Secret, or why there is none to use.
func importedCookie(s state.State) ([]byte, *Problem) {
	ref := s.Cluster.Spec.Cookie.SecretKeyRef
	if ref == nil || s.UserCookie == nil {
		return nil, nil
	}
	where := fmt.Sprintf("cookie.secretKeyRef: Secret %s/%s", s.Names.Namespace, ref.Name)
	switch running := s.Cookie(); {
	case !s.UserCookie.Found && running != nil:
		return nil, &Problem{v1alpha1.ReasonCookieSecretNotFound, fmt.Sprintf(
			"%s does not exist any more. The nodes go on with the cookie that was read from it; create it again with that cookie, or remove cookie.secretKeyRef", where)}
	case !s.UserCookie.Found:
		return nil, &Problem{v1alpha1.ReasonCookieSecretNotFound, fmt.Sprintf(
			"%s does not exist. Create it, or name another one, or remove cookie.secretKeyRef to have a cookie generated", where)}
	case !s.UserCookie.KeyFound:
		return nil, &Problem{v1alpha1.ReasonCookieInvalid, fmt.Sprintf(
			"%s has no key %q. Add it, or set cookie.secretKeyRef.key", where, ref.Key)}
	case naming.CheckCookie(s.UserCookie.Value) != nil:
		return nil, &Problem{v1alpha1.ReasonCookieInvalid, fmt.Sprintf(
			"%s, key %q, holds no usable cookie: %v", where, ref.Key, naming.CheckCookie(s.UserCookie.Value))}
	}
	return s.UserCookie.Value, nil
}

// certificates makes the private CAs that are needed, a Certificate for the probe and
// for every member, and the canary.
func certificates(p *Plan, s state.State, step rotation.CAStep) {
	tls, labels := s.Cluster.Spec.TLS, Labels(s.Names.Cluster)
	for i, name := range step.CAs {
		ca := certs.NewPrivateCA(s.Names, name, tls, labels)
		if i == 0 {
			p.apply(owned(ca.SelfSigned, s))
		}
		p.apply(owned(ca.Certificate, s), owned(ca.Issuer, s))
	}
	if tls.IssuerRef != nil {
		checkIssuer(p, s, *tls.IssuerRef)
	}
	p.apply(owned(certs.NewProbeCertificate(s.Names, tls, step.Issuer, labels), s))
	if deliveryIs(v1alpha1.DeliveryPodCertificate, s) {
		p.apply(owned(certs.NewIntermediate(s.Names, tls, step.Issuer, labels), s))
		checkIntermediate(p, s)
	}
	for _, pod := range s.Names.Pods(s.Replicas()) {
		if !deliveryIs(v1alpha1.DeliverySecret, s) {
			break
		}
		p.apply(owned(certs.NewMemberCertificate(s.Names, tls, step.Issuer, pod, labels), s))
	}
	if step.Canary != nil {
		p.apply(owned(certs.NewCanaryCertificate(s.Names, tls, *step.Canary, labels), s))
	}
	if !step.Settled() {
		p.hold(v1alpha1.ReasonRotatingCA, "CA rotation: "+step.WaitingFor)
	}
}

func checkIssuer(p *Plan, s state.State, ref v1alpha1.IssuerReference) {
	switch {
	case s.Issuer == nil:
	case !s.Issuer.KindKnown && !hasIssued(s, ref): // Who has issued is an issuer, of whatever kind.
		p.problem(v1alpha1.ReasonIssuerKindUnknown, fmt.Sprintf(
			"tls.issuerRef: this Kubernetes has no kind %q in the group %q. cert-manager's own are Issuer and ClusterIssuer, in cert-manager.io; for another one, install what serves it", ref.Kind, ref.Group))
	case s.Issuer.KindKnown && !s.Issuer.Found:
		p.problem(v1alpha1.ReasonIssuerNotFound, fmt.Sprintf(
			"tls.issuerRef: %s %q does not exist. Create it, or name another one, or remove tls.issuerRef to have a private CA", ref.Kind, ref.Name))
	case s.Issuer.Refuses != "":
		p.problem(v1alpha1.ReasonIssuerNotReady, fmt.Sprintf(
			"tls.issuerRef: %s %q is not ready: %s", ref.Kind, ref.Name, s.Issuer.Refuses))
	}
	if secret, found := withoutRoot(s, ref); found {
		p.problem(v1alpha1.ReasonIssuerGivesNoRoot, fmt.Sprintf(
			"tls.issuerRef: %s %q gave the certificate in Secret %s without the CAs above it, up to the root, neither in ca.crt nor in the chain of tls.crt, so that nobody knows whom the nodes shall trust. Let the issuer give them (a CA issuer: append them to tls.crt in its Secret), or name another one, or remove tls.issuerRef to have a private CA",
			ref.Kind, ref.Name, secret))
	}
}

func hasIssued(s state.State, issuer v1alpha1.IssuerReference) bool {
	return slices.ContainsFunc(append(s.CertificateOwners(), s.Names.Canary()), func(owner string) bool {
		by, known := s.IssuedBy(owner)
		return known && by == issuer
	})
}

// withoutRoot is the first Secret with a certificate by an issuer that cannot be followed
// up to a root: OTP trusts none that it cannot follow.
func withoutRoot(s state.State, issuer v1alpha1.IssuerReference) (secret string, found bool) {
	for _, owner := range append(s.CertificateOwners(), s.Names.Canary()) {
		by, _ := s.IssuedBy(owner)
		if leaf, ok := s.StoredCertificate(owner); ok && by == issuer && !leaf.Rooted(s.Trust()) {
			return s.Names.Certificate(owner), true
		}
	}
	by, _ := s.IntermediateBy()
	ca, ok := s.Intermediate()
	return s.Names.Intermediate(), ok && by == issuer && !ca.Rooted(s.Trust())
}

// ownership takes the Secrets that cert-manager made for our Certificates: it sets
// no owner on them unless told to by a flag, and they would outlive the cluster. The
// Certificate is an owner too. So garbage collection takes the Secret after it, and
// cert-manager, which makes a Secret again as long as the Certificate is there,
// leaves none behind.
func ownership(p *Plan, s state.State) {
	for _, name := range slices.Sorted(maps.Keys(s.Secrets)) {
		secret, certificate := s.Secrets[name], s.Certificates[name]
		if certificate == nil || certificate.DeletionTimestamp != nil || controlledByCertificate(secret) {
			continue
		}
		p.apply(owned(applycore.Secret(name, s.Names.Namespace).WithUID(secret.UID), s).
			WithOwnerReferences(applymeta.OwnerReference().
				WithAPIVersion(certmanager.SchemeGroupVersion.String()).
				WithKind(certmanager.CertificateKind).
				WithName(name).
				WithUID(certificate.UID)))
	}
}

// distribution makes the ConfigMap with the trust bundle and the TLS options, once
// there is a CA to trust.
func distribution(p *Plan, s state.State, step rotation.CAStep) {
	if step.Trust.Empty() {
		awaited := "cert-manager to make the CA"
		if ref := s.Cluster.Spec.TLS.IssuerRef; ref != nil {
			// Only what it signs shows the CA of an issuer of the user's.
			awaited = fmt.Sprintf("the first certificate of %s %q, with its CA", ref.Kind, ref.Name)
		}
		p.hold(v1alpha1.ReasonCertificatesPending, fmt.Sprintf("waiting for %s, before the trust bundle can be made", awaited))
		return
	}
	p.apply(owned(applycore.ConfigMap(s.Names.Distribution(), s.Names.Namespace), s).
		WithData(map[string]string{
			naming.TrustKey:   step.Trust.PEM(),
			naming.OptionsKey: certs.Options(),
		}))
}
