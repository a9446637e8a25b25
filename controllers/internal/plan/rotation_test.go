package plan_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/rotation"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
)

// A plan has the certificates, the CAs and the trust bundle that the rotation needs, and
// no others.
func TestPlanFollowsTheRotation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := statetest.Draw(t)
		p, step := plan.Make(s, operator, freshCookie), rotation.NextCA(s)
		var cas []string
		var canary *v1alpha1.IssuerReference
		for _, certificate := range certificatesOf(t, p) {
			ref := certificate.Spec.IssuerRef
			issuer := v1alpha1.IssuerReference{Name: ref.Name, Kind: ref.Kind, Group: ref.Group}
			switch {
			case certificate.Name == s.Names.Certificate(s.Names.Canary()):
				canary = &issuer
			case certificate.Spec.IsCA && certificate.Name != s.Names.Intermediate():
				cas = append(cas, certificate.Name)
			case issuer != step.Issuer:
				t.Fatalf("Certificate %s is asked of %v, not of %v", certificate.Name, issuer, step.Issuer)
			}
		}
		if diff := cmp.Diff(step.Canary, canary); diff != "" {
			t.Fatalf("canary (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(step.CAs, cas); diff != "" {
			t.Fatalf("CAs (-want +got):\n%s", diff)
		}
		for _, trust := range plannedTrust(t, s) {
			if trust.PEM() != step.Trust.PEM() {
				t.Fatal("the trust bundle is not that of the rotation")
			}
		}
		for _, object := range p.Delete {
			if _, ok := object.(*certmanager.Certificate); ok && slices.Contains(step.CAs, object.GetName()) {
				t.Fatalf("the CA %s is needed, and deleted", object.GetName())
			}
		}
	})
}

func certificatesOf(t failer, p plan.Plan) []certmanager.Certificate {
	t.Helper()
	var all []certmanager.Certificate
	for _, configuration := range p.Apply {
		if *configuration.GetKind() == "Certificate" {
			var certificate certmanager.Certificate
			convert(t, configuration, &certificate)
			all = append(all, certificate)
		}
	}
	return all
}

// A pod whose file still has the former cookie is changed now and then, until the probe has
// seen the new one there: also if the Secret was replaced as a whole, and has no former one.
func TestPodsAreRefreshedUntilTheyHaveTheCookie(t *testing.T) {
	for _, former := range []string{"TheFormerCookie", ""} {
		testRefresh(t, statetest.Situation{CA: "blue", Trust: []string{"blue"}, Cookie: "TheNewCookie", PreviousCookie: former})
	}
}

// A pod is annotated when it has been Ready: a change before would have its kubelet put off that it is. One
// whose node waits for another cookie is annotated at once, and so is one that is annotated already.
func TestPodsAreRefreshedOnceTheyWereReady(t *testing.T) {
	for name, test := range map[string]struct {
		edit      func(*corev1.Pod, *v1alpha1.NodeStatus)
		refreshed int
	}{
		"it is Ready":           {func(*corev1.Pod, *v1alpha1.NodeStatus) {}, 1},
		"it has not been Ready": {func(pod *corev1.Pod, _ *v1alpha1.NodeStatus) { pod.Status.Conditions = nil }, 0},
		"its node has a former cookie": {func(pod *corev1.Pod, node *v1alpha1.NodeStatus) {
			pod.Status.Conditions, node.FormerCookie = nil, true
		}, 1},
		"it is no longer Ready": {func(pod *corev1.Pod, _ *v1alpha1.NodeStatus) {
			pod.Status.Conditions, pod.Annotations = nil, map[string]string{plan.CredentialsAnnotation: "former"}
		}, 1},
		"it has failed": {func(pod *corev1.Pod, _ *v1alpha1.NodeStatus) { pod.Status.Phase = corev1.PodFailed }, 0},
	} {
		s := statetest.Situation{CA: "blue", Trust: []string{"blue"}, Cookie: "TheCookie", Issued: []statetest.Issued{{To: "chat-0", By: "blue"}},
			Pods: []statetest.Pod{{Name: "chat-0"}}, Observed: []statetest.Observed{{Pod: "chat-0"}}}.Seen(statetest.MustCluster(
			"metadata: {name: chat, namespace: shop}\nspec: {replicas: 1, template: {spec: {containers: [{name: chat, image: x}]}}}"))
		test.edit(&s.Pods[0], &s.Cluster.Status.Mesh.Nodes[0])
		if p := plan.Make(s, operator, freshCookie); len(p.Refresh) != test.refreshed {
			t.Errorf("%s: %d pods are refreshed, want %d", name, len(p.Refresh), test.refreshed)
		}
	}
}

func testRefresh(t *testing.T, situation statetest.Situation) {
	t.Helper()
	for _, pod := range []string{"chat-0", "chat-1"} {
		situation.Issued = append(situation.Issued, statetest.Issued{To: pod, By: "blue"})
		situation.Pods = append(situation.Pods, statetest.Pod{Name: pod})
	}
	situation.Observed = []statetest.Observed{{Pod: "chat-0", FormerCookie: true}, {Pod: "chat-1"}}
	s := situation.Seen(statetest.MustCluster("metadata: {name: chat, namespace: shop}\nspec: {replicas: 2, template: {spec: {containers: [{name: chat, image: x}]}}}"))
	refreshed := func() (pods []string) {
		p := plan.Make(s, operator, freshCookie)
		for _, pod := range p.Refresh {
			pods = append(pods, *pod.Name)
			s.Pod(*pod.Name).Annotations = pod.Annotations
		}
		if p.Again.IsZero() || p.Again.Sub(s.Now) > 10*time.Second {
			t.Errorf("looks again at %s", p.Again)
		}
		return pods
	}
	for _, want := range []string{"[chat-0 chat-1]", "[]", "[chat-0]", "[]"} {
		if got := fmt.Sprint(refreshed()); got != want {
			t.Errorf("refreshed %s, want %s", got, want)
		}
		if want == "[]" {
			s.Now = s.Now.Add(10 * time.Second)
		}
	}
}
