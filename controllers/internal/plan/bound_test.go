package plan_test

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
)

// What the plan does to existing objects it does to the very ones that were observed: those
// of the same name that were created later are left alone.
func TestWritesAreBoundToWhatWasObserved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := statetest.Draw(t)
		p := plan.Make(s, operator, freshCookie)
		checkAdopted(t, s, p)
		checkReplaced(t, s, p)
		checkRefreshed(t, s, p)
		for _, object := range p.Delete {
			if object.GetDeletionTimestamp() != nil {
				t.Fatalf("%s is being deleted, and is deleted again", object.GetName())
			}
		}
	})
}

// A Secret of cert-manager's gets its Certificate as an owner beside the cluster.
func checkAdopted(t *rapid.T, s state.State, p plan.Plan) {
	t.Helper()
	for _, object := range objects(t, plan.Plan{Apply: p.Apply}) {
		if object.Kind != "Secret" {
			continue
		}
		certificate := metav1.OwnerReference{
			APIVersion: "cert-manager.io/v1", Kind: "Certificate", Name: object.Name, UID: s.Certificates[object.Name].UID}
		if object.UID != s.Secrets[object.Name].UID || !slices.Contains(object.OwnerReferences, certificate) {
			t.Fatalf("Secret %s, UID %q, is given the owners %+v", object.Name, object.UID, object.OwnerReferences)
		}
	}
}

// The cookie is replaced only while it is what was observed, and the rotation that it was
// drawn for stays known.
func checkReplaced(t *rapid.T, s state.State, p plan.Plan) {
	t.Helper()
	for _, secret := range p.Replace {
		observed := s.Secrets[secret.Name]
		if secret.UID != observed.UID || secret.ResourceVersion != observed.ResourceVersion {
			t.Fatalf("Secret %s is replaced, with UID %q and version %q", secret.Name, secret.UID, secret.ResourceVersion)
		}
		if !metav1.IsControlledBy(secret, s.Cluster) || secret.Labels[plan.LabelCluster] != s.Cluster.Name {
			t.Fatalf("Secret %s is no longer the cluster's: %+v", secret.Name, secret.ObjectMeta)
		}
		want := observed.Annotations[naming.RotationAnnotation]
		if id := s.Cluster.Spec.Cookie.RotationID; id != "" && secret.Data[naming.PreviousCookieKey] != nil {
			want = id
		}
		if id := secret.Annotations[naming.RotationAnnotation]; s.Cookie() != nil && id != want {
			t.Fatalf("the cookie was drawn for %q, and is noted as that of %q", want, id)
		}
	}
}

// A pod is annotated with what its files should contain.
func checkRefreshed(t *rapid.T, s state.State, p plan.Plan) {
	t.Helper()
	for _, refreshed := range p.Refresh {
		pod := s.Pod(*refreshed.Name)
		if pod.DeletionTimestamp != nil {
			t.Fatalf("pod %s terminates, and is refreshed", pod.Name)
		}
		files := s.Trust().Identities()
		if leaf, ok := s.StoredCertificate(pod.Name); ok && !s.RequestedByKubelet(pod.Name) {
			files = append([]string{certs.Serial(leaf.X509)}, files...)
		}
		if got := refreshed.Annotations["erlang-operator.dev/credentials"]; *refreshed.UID != pod.UID || got != strings.Join(files, ".") {
			t.Fatalf("pod %s, UID %q, is annotated with %q, want %q", pod.Name, *refreshed.UID, got, strings.Join(files, "."))
		}
	}
}

// A pod has a token of the very ServiceAccount that it was created with: when that is
// created again, the probe gets another pod, and until then it is left alone.
func TestProbeIsReplacedWithItsServiceAccount(t *testing.T) {
	s := statetest.Situation{CA: "blue", Trust: []string{"blue"}, Cookie: "TheCookieOfTheCluster",
		Issued: []statetest.Issued{{To: "chat-probe", By: "blue"}}}.Seen(statetest.MustCluster("metadata: {name: chat, namespace: shop}\nspec: {template: {spec: {containers: [{name: chat, image: x}]}}}"))
	account := slices.IndexFunc(s.Owned, func(object state.Object) bool {
		return object.GetObjectKind().GroupVersionKind().Kind == "ServiceAccount"
	})
	boundTo := func() string {
		for _, configuration := range plan.Make(s, operator, freshCookie).Apply {
			if *configuration.GetKind() == "Deployment" {
				var probe appsv1.Deployment
				convert(t, configuration, &probe)
				return probe.Spec.Template.Annotations["erlang-operator.dev/service-account-uid"]
			}
		}
		return "left alone"
	}
	if got := boundTo(); got != "uid-of-serviceaccount-chat-probe" {
		t.Errorf("the probe is bound to %q", got)
	}
	s.Owned[account].SetUID("another")
	if got := boundTo(); got != "another" {
		t.Errorf("with another ServiceAccount the probe is bound to %q", got)
	}
	s.Owned = slices.Delete(s.Owned, account, account+1)
	if got := boundTo(); got != "left alone" {
		t.Errorf("without its ServiceAccount the probe is bound to %q", got)
	}
}
