package plan

import (
	"cmp"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// prune deletes the objects that the cluster owns, of the kinds that come and go,
// which the plan does not want.
func prune(p *Plan, s state.State) {
	wanted := map[string]bool{}
	for _, configuration := range p.Apply {
		wanted[*configuration.GetKind()+"/"+*configuration.GetName()] = true
	}
	for _, object := range append(slices.Clone(s.Owned), ownerless(s)...) {
		kind, name := kindOf(object), object.GetName()
		if !wanted[kind+"/"+name] && object.GetDeletionTimestamp() == nil && unneeded(s, kind, name, wanted) {
			p.Delete = append(p.Delete, object)
		}
	}
	slices.SortFunc(p.Delete, func(a, b state.Object) int {
		return cmp.Or(cmp.Compare(kindOf(a), kindOf(b)), cmp.Compare(a.GetName(), b.GetName()))
	})
}

func kindOf(object state.Object) string { return object.GetObjectKind().GroupVersionKind().Kind }

// unneeded reports whether nothing needs an object any more that the plan does not want.
func unneeded(s state.State, kind, name string, wanted map[string]bool) bool {
	switch kind {
	case "Certificate":
		// A node that terminates is connected to its peers until its pod is gone.
		return !hasPod(s, name)
	case "Secret":
		// A Secret goes after its Certificate, or cert-manager would make it again.
		return name != s.Names.CookieSecret() && !wanted["Certificate/"+name] && s.Certificates[name] == nil
	case "Issuer", "NetworkPolicy", "PodDisruptionBudget":
		return true
	}
	// What is held back, as the StatefulSet while its template is refused, runs on.
	return false
}

// ownerless are the Secrets that cert-manager made for Certificates of the cluster, and
// that the cluster did not become the owner of. When such a Certificate goes, nothing else
// deletes its Secret, and the key in it.
func ownerless(s state.State) []state.Object {
	var secrets []state.Object
	for _, name := range slices.Sorted(maps.Keys(s.Secrets)) {
		if secret := s.Secrets[name]; metav1.GetControllerOf(secret) == nil {
			secrets = append(secrets, secret)
		}
	}
	return secrets
}

// hasPod reports whether the pod whose certificate has that name is still there, and has it
// from the Secret.
func hasPod(s state.State, certificate string) bool {
	return slices.ContainsFunc(s.Pods, func(pod corev1.Pod) bool {
		return s.Names.Certificate(pod.Name) == certificate && !hasPodCertificate(pod)
	})
}
