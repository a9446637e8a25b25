package plan_test

import (
	"maps"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// With --enable-certificate-owner-ref cert-manager makes each Certificate the controller
// of its Secret. A second one the API server would refuse, and the Secret needs none: it
// goes with the Certificate.
func TestSecretsThatTheirCertificatesControl(t *testing.T) {
	situation := situationOf(t, "credentials-there")
	situation.Unowned = true
	state := situation.Seen(clusterOf(t, "credentials-there"))
	given := func() (names []string) {
		for _, configuration := range plan.Make(state, operator, freshCookie).Apply {
			if *configuration.GetKind() == "Secret" {
				names = append(names, *configuration.GetName())
			}
		}
		return names
	}
	all := given()
	if len(all) < 3 {
		t.Fatalf("only %v are given an owner: there is nothing to see here", all)
	}
	for _, name := range all {
		state.Secrets[name].OwnerReferences = []metav1.OwnerReference{{
			APIVersion: "cert-manager.io/v1", Kind: "Certificate", Name: name, UID: state.Certificates[name].UID, Controller: ptr.To(true)}}
	}
	if some := given(); len(some) > 0 {
		t.Errorf("%v are given a second controller", some)
	}
	if deleted := deletedBy(state); len(deleted) > 0 {
		t.Errorf("%v are deleted", deleted)
	}
	none := int32(0)
	state.Cluster.Spec.Replicas = &none
	for _, object := range plan.Make(state, operator, freshCookie).Delete {
		if object.GetObjectKind().GroupVersionKind().Kind == "Secret" {
			t.Errorf("Secret %s is deleted before its Certificate", object.GetName())
		}
	}
}

// A cookie without a controller, as it is after a restore from a backup, is adopted, and is
// not lost.
func TestCookieWithoutControllerIsAdopted(t *testing.T) {
	state := situationOf(t, "converged").Seen(clusterOf(t, "converged"))
	cookie := state.Secrets[state.Names.CookieSecret()]
	cookie.OwnerReferences = nil
	cookie.Labels = plan.Labels(state.Cluster.Name)
	made := plan.Make(state, operator, freshCookie)
	if len(made.Problems) > 0 || len(made.Replace) != 1 {
		t.Fatalf("problems %v; %d Secrets are replaced, want the cookie", made.Problems, len(made.Replace))
	}
	if by := made.Replace[0]; !metav1.IsControlledBy(by, state.Cluster) || by.UID != cookie.UID || !maps.EqualFunc(by.Data, cookie.Data, slices.Equal) {
		t.Errorf("it is replaced by %v", by.ObjectMeta)
	}
}

func deletedBy(state state.State) (names []string) {
	for _, object := range plan.Make(state, operator, freshCookie).Delete {
		names = append(names, object.GetName())
	}
	return names
}
