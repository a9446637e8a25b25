package plan

import (
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
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
	if problem != nil {
		p.Problems = append(p.Problems, *problem)
	}
	switch {
	case s.CookieEdited(), problem != nil && s.FormerCookie() != nil:
		// What is under way needs nothing of the user's Secret.
		rotateCookie(p, s, rotation.NextCookie(s, nil, nil))
	case problem != nil:
	case s.Cookie() == nil && imported == nil && len(s.OwnPods()) > 0:
		// Nodes with a new cookie could not join those with the lost one.
		p.problem(v1alpha1.ReasonCookieLost, howLost(s)+
			"; or put it into a Secret of your own, name that in cookie.secretKeyRef, and remove cookie.rotationID; or scale to 0 to have another one made")
	case s.Cookie() == nil && imported == nil && len(s.Pods) > 0:
		// Their names are those of this cluster's pods, and they have another cookie.
		p.hold(v1alpha1.ReasonProgressing, fmt.Sprintf(
			"Waiting until %d pods of a former cluster of this name are gone. If they stay, delete the StatefulSet that controls them", len(s.Pods)))
	case secret == nil:
		p.Create = append(p.Create, cookieSecret(s, first, s.Cluster.Spec.Cookie.RotationID))
	case s.Cookie() == nil:
		p.Replace = append(p.Replace, replacing(secret, cookieSecret(s, first, s.Cluster.Spec.Cookie.RotationID)))
	case secret.Labels[LabelCluster] != s.Cluster.Name || !metav1.IsControlledBy(secret, s.Cluster), s.WrittenCookie() == nil && isProven(s):
		p.Replace = append(p.Replace, replacing(secret, cookieSecret(s, maps.Clone(secret.Data), secret.Annotations[naming.RotationAnnotation])))
	default:
		rotateCookie(p, s, rotation.NextCookie(s, imported, []byte(fresh)))
	}
}

// isProven reports whether every node was verified with the cookie as it is. If somebody has
// replaced the Secret as a whole, the probe has taken the nodes over to that.
func isProven(s state.State) bool {
	_, unproven := s.Unproven()
	return !unproven
}

// howLost tells what became of the cookie, and how to restore it in place.
func howLost(s state.State) string {
	if !s.CookieNameTaken {
		return fmt.Sprintf("Secret %s/%s, or the cookie in it, is gone, and there are pods that use that cookie. Create the Secret again with the cookie from a backup, or from the file /run/erlang-operator/cookie/cookie of a pod",
			s.Names.Namespace, s.Names.CookieSecret())
	}
	return fmt.Sprintf("The Secret of the cookie is gone, and another one has its name, which does not belong to this ErlangCluster, and there are pods that use the lost cookie. The other one is adopted when every pod runs and the probe has verified every node with it: delete pods that do not take its cookie. Or delete it with `kubectl delete --namespace=%s secret/%s`, and create it with the lost cookie from a backup, since the files in the pods may have the other one by now",
		s.Names.Namespace, s.Names.CookieSecret())
}

// rotateCookie has the Secret hold what the rotation of the cookie needs.
func rotateCookie(p *Plan, s state.State, step rotation.CookieStep) {
	p.rotate(step.Step)
	if step.Cookie == nil {
		return
	}
	data := map[string][]byte{naming.CookieKey: step.Cookie}
	if step.Former != nil {
		data[naming.PreviousCookieKey] = step.Former
	}
	p.Replace = append(p.Replace, replacing(s.Secrets[s.Names.CookieSecret()], cookieSecret(s, data, step.RotationID)))
}

func cookieSecret(s state.State, data map[string][]byte, rotationID string) *corev1.Secret {
	secret := &corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{
			Name: s.Names.CookieSecret(), Namespace: s.Names.Namespace,
			Labels:          Labels(s.Names.Cluster),
			OwnerReferences: []metav1.OwnerReference{OwnerReference(s.Cluster)},
		},
		Data: maps.Clone(data),
	}
	secret.Data[naming.WrittenCookieKey] = data[naming.CookieKey]
	if rotationID != "" {
		secret.Annotations = map[string]string{naming.RotationAnnotation: rotationID}
	}
	return secret
}

// replacing binds a Secret to the very version of the one that was seen. Of the annotations of that,
// which others may have set, it keeps which rotation was the last.
func replacing(there, by *corev1.Secret) *corev1.Secret {
	by.UID, by.ResourceVersion = there.UID, there.ResourceVersion
	if last, ok := there.Annotations[naming.RotationAnnotation]; ok && by.Annotations == nil {
		by.Annotations = map[string]string{naming.RotationAnnotation: last}
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
