package plan_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	applyapps "k8s.io/client-go/applyconfigurations/apps/v1"
	"pgregory.net/rapid"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
)

// copied is a state that shares nothing with the original.
func copied(s state.State) state.State {
	c := s
	c.Cluster = s.Cluster.DeepCopy()
	c.Owned = nil
	for _, object := range s.Owned {
		c.Owned = append(c.Owned, object.DeepCopyObject().(state.Object))
	}
	if s.StatefulSet != nil {
		c.StatefulSet = s.StatefulSet.DeepCopy()
	}
	c.Pods = nil
	for _, pod := range s.Pods {
		c.Pods = append(c.Pods, *pod.DeepCopy())
	}
	c.Certificates, c.Secrets = maps.Clone(s.Certificates), maps.Clone(s.Secrets)
	for name := range c.Certificates {
		c.Certificates[name] = c.Certificates[name].DeepCopy()
	}
	for name := range c.Secrets {
		c.Secrets[name] = c.Secrets[name].DeepCopy()
	}
	if s.Distribution != nil {
		c.Distribution = s.Distribution.DeepCopy()
	}
	if s.UserCookie != nil {
		cookie := *s.UserCookie
		c.UserCookie = &cookie
	}
	return c
}

func TestPlanIsAFunctionOfWhatIsSeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		state := statetest.Draw(t)
		again := copied(state)
		// In whatever order the caches list.
		again.Pods = rapid.Permutation(again.Pods).Draw(t, "order of pods")
		again.Owned = rapid.Permutation(again.Owned).Draw(t, "order of owned")
		one, other := plan.Make(state, operator, freshCookie), plan.Make(again, operator, freshCookie)
		if diff := cmp.Diff(render(t, one), render(t, other)); diff != "" {
			t.Fatalf("two plans of the same (-one +other):\n%s", diff)
		}
	})
}

// A suspended cluster is not changed, whatever its state; what it waits for and what is
// wrong with it is known as before.
func TestSuspendedPlanChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		state := statetest.Draw(t)
		active := plan.Make(state, operator, freshCookie)
		state.Cluster.Spec.Suspend = true
		suspended := plan.Make(state, operator, freshCookie)
		want := plan.Plan{Holds: active.Holds, Rotations: active.Rotations, Rollout: suspended.Rollout, Problems: active.Problems}
		if diff := cmp.Diff(render(t, want), render(t, suspended)); diff != "" || len(suspended.Refresh) > 0 || len(suspended.Held) > 0 {
			t.Fatalf("(-want +got):\n%s%v %v", diff, suspended.Refresh, suspended.Held)
		}
	})
}

func TestPlanLeavesItsInputAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		state := statetest.Draw(t)
		before := copied(state)
		plan.Make(state, operator, freshCookie)
		for what, pair := range map[string][2]any{
			"cluster":      {before.Cluster, state.Cluster},
			"owned":        {before.Owned, state.Owned},
			"pods":         {before.Pods, state.Pods},
			"certificates": {before.Certificates, state.Certificates},
			"secrets":      {before.Secrets, state.Secrets},
			"distribution": {before.Distribution, state.Distribution},
			"statefulSet":  {before.StatefulSet, state.StatefulSet},
			"userCookie":   {before.UserCookie, state.UserCookie},
		} {
			if !equality.Semantic.DeepEqual(pair[0], pair[1]) {
				t.Fatalf("making the plan changed %s (-before +after):\n%s", what, cmp.Diff(pair[0], pair[1]))
			}
		}
	})
}

// An object without the owner reference would stay when the cluster is deleted, and one
// without the label would be invisible to the caches.
func TestEveryObjectIsOursAndWellNamed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		state := statetest.Draw(t)
		p := plan.Make(state, operator, freshCookie)
		seenKeys := map[string]bool{}
		for _, object := range objects(t, p) {
			key := object.Kind + "/" + object.Name
			if seenKeys[key] {
				t.Fatalf("%s is in the plan twice", key)
			}
			seenKeys[key] = true
			if !metav1.IsControlledBy(&object, state.Cluster) {
				t.Fatalf("%s is not controlled by the cluster: %+v", key, object.OwnerReferences)
			}
			if object.Labels[plan.LabelCluster] != state.Cluster.Name {
				t.Fatalf("%s lacks the label %s: %v", key, plan.LabelCluster, object.Labels)
			}
			for name, value := range object.Labels {
				if problems := slices.Concat(validation.IsQualifiedName(name), validation.IsValidLabelValue(value)); len(problems) > 0 {
					t.Fatalf("%s: label %s=%s: %v", key, name, value, problems)
				}
			}
			if object.Namespace != state.Cluster.Namespace {
				t.Fatalf("%s is in namespace %q", key, object.Namespace)
			}
			if problems := validation.IsDNS1123Subdomain(object.Name); len(problems) > 0 {
				t.Fatalf("%s: %v", key, problems)
			}
		}
		for _, object := range p.Delete {
			kind := object.GetObjectKind().GroupVersionKind().Kind
			if seenKeys[kind+"/"+object.GetName()] {
				t.Fatalf("%s/%s is both wanted and deleted", kind, object.GetName())
			}
			if kind == "" {
				continue // a pod, which its StatefulSet owns
			}
			if kind == "Secret" && metav1.GetControllerOf(object) == nil && object.GetAnnotations()["cert-manager.io/certificate-name"] != "" {
				continue // of a Certificate of ours that has gone
			}
			if !metav1.IsControlledBy(object, state.Cluster) {
				t.Fatalf("%s/%s would be deleted, and is not ours", kind, object.GetName())
			}
		}
	})
}

// Nodes run with the cookie that is there, whatever becomes of the user's Secret: it
// is never lost, but when every node is known to run with the one after it.
func TestCookieThatIsThereStays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		state := statetest.Draw(t)
		p := plan.Make(state, operator, freshCookie)
		if len(p.Create) > 1 {
			t.Fatalf("%d Secrets are created", len(p.Create))
		}
		if state.Cookie() != nil {
			if len(p.Create) > 0 {
				t.Fatal("there is a cookie, and another one is created")
			}
			for _, object := range objects(t, p) {
				if object.Kind == "Secret" && object.Name == state.Names.CookieSecret() {
					t.Fatal("there is a cookie, and it is applied over")
				}
			}
			for _, object := range p.Delete {
				if object.GetName() == state.Names.CookieSecret() {
					t.Fatal("the cookie is deleted")
				}
			}
		}
		for _, secret := range p.Replace {
			cookie, previous := string(secret.Data[naming.CookieKey]), string(secret.Data[naming.PreviousCookieKey])
			if secret.ResourceVersion == "" {
				t.Fatal("a cookie is replaced, whatever it has become")
			}
			pod, unproven := state.Unproven()
			if unproven && state.StatefulSet != nil && string(state.Cookie()) != cookie {
				t.Fatalf("a cookie is replaced, and %s is not known to run with it", pod)
			}
			switch string(state.Cookie()) {
			case cookie: // the one before it goes
			case previous: // another one comes, beside it
			default:
				t.Fatal("the cookie that nodes run with is gone")
			}
		}
		if len(p.Create) > 0 && len(state.OwnPods()) > 0 && state.Cluster.Spec.Cookie.SecretKeyRef == nil {
			t.Fatal("nodes run with a cookie that is lost, and another one is drawn")
		}
		for _, secret := range p.Create {
			cookie := secret.Data[naming.CookieKey]
			if err := naming.CheckCookie(cookie); err != nil {
				t.Fatalf("a cookie is created that will not do: %v", err)
			}
			own := state.Cluster.Spec.Cookie.SecretKeyRef != nil
			if own != bytes.Equal(cookie, []byte("TheCookieOfTheUser")) && !bytes.Equal(cookie, []byte("TheCookieOfTheCluster")) {
				t.Fatalf("own cookie: %t, but another one is created", own)
			}
		}
	})
}

// The cookie is in no object but its Secret.
func TestPlanKeepsTheCookieToItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := plan.Make(statetest.Draw(t), operator, freshCookie)
		p.Create = nil
		text := render(t, p)
		for _, cookie := range []string{freshCookie, "TheCookieOfTheUser", "TheCookieOfTheCluster"} {
			if bytes.Contains([]byte(text), []byte(cookie)) {
				t.Fatalf("the plan has a cookie outside of its Secret:\n%s", text)
			}
		}
	})
}

// Labels and annotations of an ErlangCluster, and all that is not its spec, are
// nothing to its pods; nor is the image of the operator.
func TestPodTemplateIsAFunctionOfTheSpec(t *testing.T) {
	for _, situation := range []string{"converged", "pod-certificate-credentials-there"} {
		t.Run(situation, func(t *testing.T) { templateIsAFunctionOfTheSpec(t, load(t, situation)) })
	}
}

func templateIsAFunctionOfTheSpec(t *testing.T, base state.State) {
	want := podTemplate(t, base, operator)
	rapid.Check(t, func(t *rapid.T) {
		state := copied(base)
		state.Cluster.Labels = rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "labels")
		state.Cluster.Annotations = rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "annotations")
		state.Cluster.Generation = rapid.Int64().Draw(t, "generation")
		state.Cluster.ResourceVersion = rapid.String().Draw(t, "resourceVersion")
		state.Cluster.Status.ObservedGeneration = rapid.Int64().Draw(t, "observedGeneration")
		replicas := rapid.Int32Range(0, 3).Draw(t, "replicas")
		state.Cluster.Spec.Replicas = &replicas
		state.Cluster.Spec.TLS = statetest.MustCluster("metadata: {name: chat}\nspec: {template: {}, tls: {certificate: {duration: 100h, renewBefore: 1h}}}").Spec.TLS
		state.Cluster.Spec.TLS.Delivery = base.Cluster.Spec.TLS.Delivery
		upgraded := operator
		upgraded.Image = rapid.String().Draw(t, "image")
		if diff := cmp.Diff(want, podTemplate(t, state, upgraded)); diff != "" {
			t.Fatalf("pods would be restarted (-before +after):\n%s", diff)
		}
	})
}

// Where a certificate is missing, no node starts and none that runs is stopped.
func TestMembersStartOnlyWithTheirCertificate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		state := statetest.Draw(t)
		set := statefulSet(plan.Make(state, operator, freshCookie))
		if set == nil {
			return
		}
		running, replicas := takenOrdinals(state), *set.Spec.Replicas
		if wasRunning := state.StatefulSet != nil && replicas <= *state.StatefulSet.Spec.Replicas; replicas > state.Replicas() && !wasRunning {
			t.Fatalf("%d nodes, and %d are asked for", replicas, state.Replicas())
		}
		if replicas < min(running, state.Replicas()) {
			t.Fatalf("%d nodes of %d that run: some are stopped because a certificate is missing", replicas, running)
		}
		for ordinal := running; ordinal < replicas; ordinal++ {
			pod := state.Names.Pod(ordinal)
			if state.Cluster.Spec.TLS.Delivery == v1alpha1.DeliveryPodCertificate {
				if ca, ok := state.Intermediate(); !ok || ca.ValidateIntermediate(state.Trust(), state.Now) != nil {
					t.Fatalf("%s is started, and there is no CA to sign its certificate", pod)
				}
			} else if leaf, ok := state.StoredCertificate(pod); !ok || leaf.Validate(state.Names.Host(pod), state.Trust(), state.Now) != nil {
				t.Fatalf("%s is started without a good certificate", pod)
			}
		}
	})
}

// takenOrdinals is how many ordinals are taken by the StatefulSet or by pods, with or without it.
func takenOrdinals(s state.State) int32 {
	running := int32(0)
	if s.StatefulSet != nil {
		running = *s.StatefulSet.Spec.Replicas
	}
	for ordinal := range int32(100) {
		if s.Pod(s.Names.Pod(ordinal)) != nil {
			running = max(running, ordinal+1)
		}
	}
	return running
}

// A StatefulSet with fewer replicas than there are pods deletes the others, and their
// claims if the spec says so: also one that takes the place of a StatefulSet that was
// deleted and left its pods, or that the cache does not have yet.
func TestNoPlanStopsALiveMember(t *testing.T) {
	orphans := 0
	rapid.Check(t, func(t *rapid.T) {
		state := statetest.Draw(t)
		if rapid.Bool().Draw(t, "without its StatefulSet") {
			state.StatefulSet = nil
		}
		set := statefulSet(plan.Make(state, operator, freshCookie))
		if set == nil {
			return
		}
		for ordinal := range state.Replicas() {
			if pod := state.Names.Pod(ordinal); state.Pod(pod) != nil && *set.Spec.Replicas <= ordinal {
				t.Fatalf("%s runs, and the StatefulSet has %d replicas of %d", pod, *set.Spec.Replicas, state.Replicas())
			}
		}
		if state.StatefulSet == nil && len(state.Pods) > 0 {
			orphans++
		}
	})
	if orphans == 0 {
		t.Error("no plan made a StatefulSet for pods without one")
	}
}

// A pod never finds that what it has its key from is gone, whatever the spec says by
// now.
func TestWhatARunningPodNeedsIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		state := statetest.Draw(t)
		deleted := map[string]bool{}
		for _, object := range plan.Make(state, operator, freshCookie).Delete {
			deleted[object.GetObjectKind().GroupVersionKind().Kind+"/"+object.GetName()] = true
		}
		for _, pod := range state.Pods {
			needs := state.Names.Certificate(pod.Name)
			if pod.Spec.Volumes[0].Projected != nil {
				needs = state.Names.Intermediate()
			}
			if deleted["Certificate/"+needs] {
				t.Fatalf("pod %s runs, and Certificate %s is deleted", pod.Name, needs)
			}
		}
	})
}

// Nodes are restarted for another delivery only when all of them would start.
func TestDeliveryChangesWhenAllIsThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		state := statetest.Draw(t)
		set := statefulSet(plan.Make(state, operator, freshCookie))
		if set == nil || state.StatefulSet == nil {
			return
		}
		had, has := state.StatefulSet.Spec.Template.Spec.Volumes[0].Projected != nil, false
		for _, volume := range set.Spec.Template.Spec.Volumes {
			has = has || volume.Projected != nil
		}
		if had == has {
			return
		}
		if ca, ok := state.Intermediate(); has && state.Replicas() > 0 && (!ok || ca.ValidateIntermediate(state.Trust(), state.Now) != nil) {
			t.Fatal("nodes are restarted to have their certificates signed, and there is no CA to sign them")
		}
		for _, pod := range state.Names.Pods(state.Replicas()) {
			if leaf, ok := state.StoredCertificate(pod); !has && (!ok || leaf.Validate(state.Names.Host(pod), state.Trust(), state.Now) != nil) {
				t.Fatalf("nodes are restarted to have Secrets, and %s has none", pod)
			}
		}
	})
}

// plannedTrust is the trust bundle that a plan makes; none where it holds that back.
func plannedTrust(t failer, state state.State) []certs.Trust {
	var planned []certs.Trust
	for _, configuration := range plan.Make(state, operator, freshCookie).Apply {
		if *configuration.GetKind() != "ConfigMap" {
			continue
		}
		var applied corev1.ConfigMap
		convert(t, configuration, &applied)
		trust, err := certs.ParseTrust([]byte(applied.Data[naming.TrustKey]))
		if err != nil {
			t.Fatalf("%v", err)
		}
		planned = append(planned, trust)
	}
	return planned
}

// What the kubelets hold is stored nowhere: what it may rest on stays trusted.
func TestPodCertificatesStayTrusted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		state := statetest.Draw(t)
		asks := func(name string) bool {
			pod := state.Pod(name)
			return pod != nil && pod.Spec.Volumes[0].Projected != nil
		}
		if !slices.ContainsFunc(state.Names.Pods(state.Replicas()), asks) {
			return
		}
		for _, trust := range plannedTrust(t, state) {
			if trust.Union(state.Trust()).PEM() != trust.PEM() {
				t.Fatal("a CA is not trusted any more, and kubelets may hold what it has signed")
			}
		}
	})
}

// A trust bundle that loses a CA in use would split the cluster at the next
// handshake.
func TestTrustNeverLosesACAInUse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		state := statetest.Draw(t)
		for _, trust := range plannedTrust(t, state) {
			for _, pod := range append(state.Names.Pods(state.Replicas()), state.Names.Probe()) {
				leaf, ok := state.StoredCertificate(pod)
				if !ok {
					continue
				}
				host := state.Names.Host(pod)
				if pod == state.Names.Probe() {
					host = state.Names.ProbeHost()
				}
				if leaf.Validate(host, state.Trust(), state.Now) == nil && leaf.Validate(host, trust, state.Now) != nil {
					t.Fatalf("%s was trusted, and is not any more", pod)
				}
			}
		}
	})
}

func podTemplate(t failer, s state.State, operator plan.Operator) string {
	t.Helper()
	set := statefulSet(plan.Make(s, operator, freshCookie))
	if set == nil {
		t.Fatalf("the plan has no StatefulSet")
	}
	return toYAML(t, set.Spec.Template)
}

func statefulSet(p plan.Plan) *applyapps.StatefulSetApplyConfiguration {
	for _, configuration := range p.Apply {
		if set, ok := configuration.(*applyapps.StatefulSetApplyConfiguration); ok {
			return set
		}
	}
	return nil
}

// objects are the metadata of all that a plan creates or applies.
func objects(t failer, p plan.Plan) []metav1.PartialObjectMetadata {
	t.Helper()
	var all []metav1.PartialObjectMetadata
	add := func(object any) {
		var head metav1.PartialObjectMetadata
		convert(t, object, &head)
		all = append(all, head)
	}
	for _, secret := range p.Create {
		add(secret)
	}
	for _, configuration := range p.Apply {
		add(configuration)
	}
	return all
}

func convert(t failer, from, to any) {
	t.Helper()
	text, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(text, to)
	}
	if err != nil {
		t.Fatalf("convert %T to %T: %v", from, to, err)
	}
}

// render is a plan as text, for comparison.
func render(t failer, p plan.Plan) string {
	t.Helper()
	names := make([]string, 0, len(p.Delete))
	for _, object := range p.Delete {
		names = append(names, fmt.Sprintf("%s/%s", object.GetObjectKind().GroupVersionKind().Kind, object.GetName()))
	}
	return toYAML(t, map[string]any{"create": p.Create, "apply": p.Apply, "delete": names, "holds": p.Holds, "problems": p.Problems})
}
