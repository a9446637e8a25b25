package apply_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	applycertmanager "github.com/cert-manager/cert-manager/pkg/client/applyconfigurations/certmanager/v1"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	applyapps "k8s.io/client-go/applyconfigurations/apps/v1"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	applymeta "k8s.io/client-go/applyconfigurations/meta/v1"
	applypolicy "k8s.io/client-go/applyconfigurations/policy/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/apply"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
)

// A world is an API server's memory, and what was asked of it.
type world struct {
	client.Client
	asked []string
	// refuse, if set, fails requests.
	refuse func(request string) error
}

func newWorld(there ...client.Object) *world {
	w := &world{}
	ask := func(verb string, object any, name string) error {
		request := fmt.Sprintf("%s %T %s", verb, object, name)
		w.asked = append(w.asked, request)
		if w.refuse != nil {
			return w.refuse(request)
		}
		return nil
	}
	w.Client = fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(there...).WithGlobalResourceVersionCounter().
		WithInterceptorFuncs(interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
				if err := ask("get", object, key.Name); err != nil {
					return err
				}
				return c.Get(ctx, key, object, options...)
			},
			Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
				if err := ask("create", object, object.GetName()); err != nil {
					return err
				}
				return c.Create(ctx, object, options...)
			},
			Update: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.UpdateOption) error {
				if err := ask("update", object, object.GetName()); err != nil {
					return err
				}
				return c.Update(ctx, object, options...)
			},
			Delete: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.DeleteOption) error {
				if err := ask("delete", object, object.GetName()); err != nil {
					return err
				}
				return c.Delete(ctx, object, options...)
			},
			Apply: func(ctx context.Context, c client.WithWatch, configuration runtime.ApplyConfiguration, options ...client.ApplyOption) error {
				if err := ask("apply", configuration, *configuration.(plan.Configuration).GetName()); err != nil {
					return err
				}
				if err := checkVersion(ctx, c, configuration); err != nil {
					w.asked[len(w.asked)-1] += ": it exists"
					return err
				}
				return c.Apply(ctx, configuration, append(options, client.FieldOwner("erlang-operator"))...)
			},
		}).Build()
	return w
}

// checkVersion refuses to apply what is to be new to an object that exists, as the API server does, and
// the fake does not. (See test/envtest.)
func checkVersion(ctx context.Context, c client.Client, configuration runtime.ApplyConfiguration) error {
	text, err := json.Marshal(configuration)
	if err != nil {
		return err
	}
	wanted, there := &metav1.PartialObjectMetadata{}, &metav1.PartialObjectMetadata{}
	if err := json.Unmarshal(text, wanted); err != nil {
		return err
	}
	there.TypeMeta = wanted.TypeMeta
	if err := c.Get(ctx, client.ObjectKeyFromObject(wanted), there); err != nil {
		return client.IgnoreNotFound(err)
	}
	if wanted.ResourceVersion != "" {
		return apierrors.NewConflict(schema.GroupResource{Resource: wanted.Kind}, wanted.Name, errors.New("it exists"))
	}
	return nil
}

// check ends a test that cannot go on after an error.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// take is what was asked since the last time.
func (w *world) take() []string {
	asked := w.asked
	w.asked = nil
	return asked
}

func (w *world) applier() *apply.Applier { return &apply.Applier{Client: w, Live: w} }

// observed is a cluster that owns these objects as they are.
func (w *world) observed(t *testing.T, owned ...client.Object) state.State {
	t.Helper()
	observed := statetest.Situation{}.Seen(cluster())
	for _, object := range owned {
		check(t, w.Get(t.Context(), client.ObjectKeyFromObject(object), object))
		object.GetObjectKind().SetGroupVersionKind(gvkOf(object))
		observed.Owned = append(observed.Owned, object.(state.Object))
	}
	w.take()
	return observed
}

func gvkOf(object runtime.Object) schema.GroupVersionKind {
	kinds, _, err := clientgoscheme.Scheme.ObjectKinds(object)
	if err != nil {
		panic(err)
	}
	return kinds[0]
}

func cluster() *v1alpha1.ErlangCluster {
	return statetest.MustCluster("metadata: {name: chat, namespace: shop}\nspec: {template: {spec: {containers: [{name: chat, image: x}]}}}")
}

func cookie() *corev1.Secret {
	return &corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "chat-cookie",
			OwnerReferences: []metav1.OwnerReference{plan.OwnerReference(cluster())}},
		Data: map[string][]byte{"cookie": []byte("one")},
	}
}

func configMap(value string) *applycore.ConfigMapApplyConfiguration {
	owner := plan.OwnerReference(cluster())
	return applycore.ConfigMap("chat-distribution", "shop").WithData(map[string]string{"key": value}).
		WithOwnerReferences(applymeta.OwnerReference().WithAPIVersion(owner.APIVersion).WithKind(owner.Kind).
			WithName(owner.Name).WithUID(owner.UID).WithController(true))
}

func theConfigMap() *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "chat-distribution"}}
}

func TestCreateNeverOverwrites(t *testing.T) {
	p := plan.Plan{Create: []*corev1.Secret{cookie()}}
	w := newWorld()
	check(t, w.applier().Apply(t.Context(), p, w.observed(t)))
	// A cache that is behind says that there is none, and another one is drawn.
	p.Create[0].Data["cookie"] = []byte("two")
	if err := w.applier().Apply(t.Context(), p, w.observed(t)); err != nil {
		t.Fatalf("one of ours is there, which is as good: %v", err)
	}
	there := cookie()
	if err := w.Get(t.Context(), client.ObjectKeyFromObject(there), there); err != nil || string(there.Data["cookie"]) != "one" {
		t.Errorf("the cookie is %q (%v), want the first", there.Data["cookie"], err)
	}
}

func TestForeignObjectsStay(t *testing.T) {
	other := plan.OwnerReference(cluster())
	other.UID = "of-a-cluster-of-the-same-name-that-is-gone"
	for name, owners := range map[string][]metav1.OwnerReference{
		"nobody's":                  nil,
		"of an earlier namesake":    {other},
		"owned but not controlled":  {{APIVersion: "erlang-operator.dev/v1alpha1", Kind: "ErlangCluster", Name: "chat", UID: cluster().UID}},
		"controlled by another one": {{APIVersion: "apps/v1", Kind: "Deployment", Name: "x", UID: "x", Controller: new(bool)}},
	} {
		t.Run(name, func(t *testing.T) {
			secret, config := cookie(), theConfigMap()
			secret.OwnerReferences, config.OwnerReferences = owners, owners
			secret.Data["cookie"], config.Data = []byte("foreign"), map[string]string{"key": "foreign"}
			for what, p := range map[string]plan.Plan{
				"create": {Create: []*corev1.Secret{cookie()}},
				"apply":  {Apply: []plan.Configuration{configMap("ours")}},
			} {
				w := newWorld(secret.DeepCopy(), config.DeepCopy())
				err := w.applier().Apply(t.Context(), p, w.observed(t))
				former := name == "of an earlier namesake" // The garbage collector deletes it.
				if err == nil || apply.IsNameConflict(err) == former || apply.IsRejected(err) == former {
					t.Errorf("%s: error %v, want a NameConflict, which is a refusal, unless it passes by itself: %t", what, err, former)
				}
				for _, want := range []client.Object{secret, config} {
					got := want.DeepCopyObject().(client.Object)
					check(t, w.Get(t.Context(), client.ObjectKeyFromObject(want), got))
					got.SetResourceVersion("")
					got.GetObjectKind().SetGroupVersionKind(want.GetObjectKind().GroupVersionKind())
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("%s changed it (-before +after):\n%s", what, diff)
					}
				}
			}
		})
	}
}

// An object with all labels of the cluster and no controller becomes the cluster's, as it
// is: the next plan has it among what was observed.
func TestObjectWithoutControllerIsAdopted(t *testing.T) {
	for name, test := range map[string]struct {
		labels  map[string]string
		owners  []metav1.OwnerReference
		adopted bool
	}{
		"all labels":             {plan.Labels("chat"), nil, true},
		"no longer controlled":   {plan.Labels("chat"), []metav1.OwnerReference{{APIVersion: "erlang-operator.dev/v1alpha1", Kind: "ErlangCluster", Name: "chat", UID: cluster().UID}}, true},
		"one label":              {map[string]string{plan.LabelCluster: "chat"}, nil, false},
		"labels of another name": {plan.Labels("pay"), nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			config := theConfigMap()
			config.Labels, config.OwnerReferences, config.Data = test.labels, test.owners, map[string]string{"key": "former"}
			w := newWorld(config)
			err := w.applier().Apply(t.Context(), plan.Plan{Apply: []plan.Configuration{configMap("ours")}}, w.observed(t))
			if apply.IsNameConflict(err) == test.adopted {
				t.Errorf("error %v, want a NameConflict: %t", err, !test.adopted)
			}
			check(t, w.Get(t.Context(), client.ObjectKeyFromObject(config), config))
			if metav1.IsControlledBy(config, cluster()) != test.adopted || config.Data["key"] != "former" {
				t.Errorf("want it adopted: %t, and not changed else: %+v", test.adopted, config)
			}
			if len(config.OwnerReferences) > 1 {
				t.Errorf("it has two references to the cluster: %+v", config.OwnerReferences)
			}
		})
	}
}

// cert-manager writes into the Secret of a Certificate, whoever's it is: so there is no
// Certificate while it is somebody else's.
func TestForeignSecretsKeepCertificatesAway(t *testing.T) {
	ours := map[string]string{plan.LabelCluster: "chat"}
	madeFor := func(certificate string) map[string]string {
		return map[string]string{certmanager.CertificateNameKey: certificate}
	}
	controlledBy := func(kind, name string) []metav1.OwnerReference {
		return []metav1.OwnerReference{{APIVersion: "cert-manager.io/v1", Kind: kind, Name: name, UID: "x", Controller: ptr.To(true)}}
	}
	namesake := plan.OwnerReference(cluster())
	namesake.UID = "of-a-cluster-of-the-same-name-that-is-gone"
	asked := errors.New("the Certificate was asked for")
	for name, test := range map[string]struct {
		secret *metav1.ObjectMeta
		want   error // a NameConflict if nil
	}{
		"none":                          {nil, asked},
		"ours":                          {&metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{plan.OwnerReference(cluster())}}, asked},
		"made for an earlier one":       {&metav1.ObjectMeta{Labels: ours, Annotations: madeFor("chat-0-tls")}, asked},
		"its own Certificate's":         {&metav1.ObjectMeta{Labels: ours, Annotations: madeFor("chat-0-tls"), OwnerReferences: controlledBy("Certificate", "chat-0-tls")}, asked},
		"another Certificate's":         {&metav1.ObjectMeta{Labels: ours, Annotations: madeFor("chat-0-tls"), OwnerReferences: controlledBy("Certificate", "website")}, nil},
		"a user's":                      {&metav1.ObjectMeta{}, nil},
		"a user's with our label":       {&metav1.ObjectMeta{Labels: ours}, nil},
		"for a Certificate of a user's": {&metav1.ObjectMeta{Annotations: madeFor("website")}, nil},
		"a copy of another of ours":     {&metav1.ObjectMeta{Labels: ours, Annotations: madeFor("chat-1-tls")}, nil},
		"another cluster's":             {&metav1.ObjectMeta{Labels: map[string]string{plan.LabelCluster: "pay"}, Annotations: madeFor("chat-0-tls")}, nil},
		"an earlier namesake's":         {&metav1.ObjectMeta{Labels: ours, Annotations: madeFor("chat-0-tls"), OwnerReferences: []metav1.OwnerReference{namesake}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			if test.secret != nil {
				secret := &corev1.Secret{ObjectMeta: *test.secret}
				secret.Namespace, secret.Name = "shop", "chat-0-tls"
				w = newWorld(secret)
			}
			w.refuse = func(request string) error {
				if request == "apply *v1.CertificateApplyConfiguration chat-0-tls" {
					return asked
				}
				return nil
			}
			observed := w.observed(t)
			certificate := applycertmanager.Certificate("chat-0-tls", "shop").
				WithSpec(applycertmanager.CertificateSpec().WithSecretName("chat-0-tls"))
			err := w.applier().Apply(t.Context(), plan.Plan{Apply: []plan.Configuration{certificate}}, observed)
			if test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("error %v, want that %v", err, test.want)
			}
			if test.want == nil && (apply.IsNameConflict(err) == (name == "an earlier namesake's") || !strings.Contains(err.Error(), `Secret "chat-0-tls"`)) {
				t.Errorf("error %v, want one that names the Secret", err)
			}
		})
	}
}

// Applying again what is there already is not asked of the API server.
func TestWhatWasAppliedIsRemembered(t *testing.T) {
	w := newWorld()
	a := w.applier()
	do := func(value string, owned ...client.Object) []string {
		t.Helper()
		observed := w.observed(t, owned...)
		check(t, a.Apply(t.Context(), plan.Plan{Apply: []plan.Configuration{configMap(value)}}, observed))
		return slices.DeleteFunc(w.take(), func(request string) bool { return request[:3] == "get" })
	}
	const applied = "apply *v1.ConfigMapApplyConfiguration chat-distribution"
	expect := func(what string, got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: asked %v, want %v", what, got, want)
		}
	}
	expect("at first", do("one"), applied)
	expect("again", do("one", theConfigMap()))
	expect("and again", do("one", theConfigMap()))
	expect("something else", do("two", theConfigMap()), applied)
	expect("the first again", do("one", theConfigMap()), applied)
	expect("and again", do("one", theConfigMap()))

	tampered := theConfigMap()
	check(t, w.Get(t.Context(), client.ObjectKeyFromObject(tampered), tampered))
	tampered.Data["key"] = "somebody's"
	check(t, w.Update(t.Context(), tampered))
	expect("after somebody changed it", do("one", theConfigMap()), applied)
	expect("restored", do("one", theConfigMap()))
	check(t, w.Delete(t.Context(), theConfigMap()))
	expect("after somebody deleted it", do("one"), applied)
	expect("once more", do("one", theConfigMap()))
	a.Forget(client.ObjectKeyFromObject(cluster()))
	expect("after the cluster was forgotten", do("one", theConfigMap()), applied)
	a = w.applier()
	expect("a manager that has just started", do("one", theConfigMap()), applied)
}

// A cookie that somebody edits again and again is restored at once, and after the fifth time
// with pauses.
func TestContestedCookieIsRestoredWithPauses(t *testing.T) {
	there := cookie()
	w := newWorld(there)
	a, observed := w.applier(), statetest.Situation{Cookie: "one", EditedCookie: "two"}.Seen(cluster())
	observed.Secrets["chat-cookie"].ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "syncer", FieldsV1: metav1.NewFieldsV1(`{"f:data":{"f:cookie":{}}}`)}}
	for edit, want := range []string{"one", "one", "one", "one", "one", "two"} {
		check(t, w.Get(t.Context(), client.ObjectKeyFromObject(there), there))
		there.Data["cookie"] = []byte("two")
		check(t, w.Update(t.Context(), there))
		restored := cookie()
		restored.ResourceVersion = there.ResourceVersion
		check(t, a.Apply(t.Context(), plan.Plan{Replace: []*corev1.Secret{restored}}, observed))
		check(t, w.Get(t.Context(), client.ObjectKeyFromObject(there), there))
		if got := string(there.Data["cookie"]); got != want {
			t.Errorf("after edit %d it is %q, want %q", edit, got, want)
		}
	}
	contests := a.Contests(observed)
	if len(contests) != 1 || contests[0].Object != "Secret chat-cookie" || !slices.Equal(contests[0].Managers, []string{"syncer"}) || contests[0].Restored != 5 {
		t.Errorf("contests %+v", contests)
	}
}

func TestFailedApplyIsNotRemembered(t *testing.T) {
	w := newWorld()
	a := w.applier()
	p := func() plan.Plan { return plan.Plan{Apply: []plan.Configuration{configMap("one")}} }
	check(t, a.Apply(t.Context(), p(), w.observed(t)))
	observed := w.observed(t, theConfigMap())
	observed.Owned[0].SetResourceVersion("of another day")
	w.refuse = func(string) error { return errors.New("away") }
	if err := a.Apply(t.Context(), p(), observed); err == nil {
		t.Fatal("no error")
	}
	w.refuse = nil
	w.take()
	check(t, a.Apply(t.Context(), p(), observed))
	if asked := w.take(); len(asked) != 1 {
		t.Errorf("asked %v, want one apply", asked)
	}
}

// What is deleted is what was seen: not its successor of the same name, and not
// what has changed since.
func TestDeleteIsBoundToWhatWasSeen(t *testing.T) {
	w := newWorld(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "chat-distribution", UID: "first"}})
	observed := w.observed(t, theConfigMap())
	stale := plan.Plan{Delete: observed.Owned}

	var preconditions []metav1.Preconditions
	recorder := interceptor.NewClient(w.Client.(client.WithWatch), interceptor.Funcs{
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.DeleteOption) error {
			preconditions = append(preconditions, *(&client.DeleteOptions{}).ApplyOptions(options).AsDeleteOptions().Preconditions)
			return c.Delete(ctx, object, options...)
		},
	})
	a := &apply.Applier{Client: recorder, Live: w}

	changed := theConfigMap()
	check(t, w.Get(t.Context(), client.ObjectKeyFromObject(changed), changed))
	changed.Data = map[string]string{"in": "use again"}
	check(t, w.Update(t.Context(), changed))
	if err := a.Apply(t.Context(), stale, observed); !apierrors.IsConflict(err) {
		t.Errorf("error %v, want a conflict: the object has changed since it was seen", err)
	}
	if err := w.Get(t.Context(), client.ObjectKeyFromObject(changed), theConfigMap()); err != nil {
		t.Errorf("it is gone: %v", err)
	}
	if len(preconditions) != 1 || preconditions[0].UID == nil || *preconditions[0].UID != types.UID("first") ||
		preconditions[0].ResourceVersion == nil || *preconditions[0].ResourceVersion != stale.Delete[0].GetResourceVersion() {
		t.Errorf("preconditions %+v, want UID and version of what was seen", preconditions)
	}

	observed = w.observed(t, theConfigMap())
	check(t, a.Apply(t.Context(), plan.Plan{Delete: observed.Owned}, observed))
	if err := a.Apply(t.Context(), plan.Plan{Delete: observed.Owned}, observed); err != nil {
		t.Errorf("what is gone already is as good as deleted: %v", err)
	}
}

// What comes later may rest on what failed.
func TestFirstFailureEndsIt(t *testing.T) {
	w := newWorld()
	w.refuse = func(request string) error {
		if request[:5] == "apply" {
			return errors.New("away")
		}
		return nil
	}
	observed := w.observed(t)
	other := configMap("x").WithName("another")
	err := w.applier().Apply(t.Context(), plan.Plan{Create: []*corev1.Secret{cookie()}, Apply: []plan.Configuration{configMap("x"), other}}, observed)
	if err == nil || apply.IsRejected(err) {
		t.Errorf("error %v, want one that passes", err)
	}
	want := []string{"create *v1.Secret chat-cookie", "apply *v1.ConfigMapApplyConfiguration chat-distribution"}
	if asked := w.take(); !slices.Equal(asked, want) {
		t.Errorf("asked %v, want %v", asked, want)
	}
}

// A webhook that does not answer holds up the kinds that it admits, and what depends on
// them. It is asked once, and the pass is tried again.
func TestWebhookThatIsAwayHoldsUpItsKindAlone(t *testing.T) {
	certificate := func(name string) plan.Configuration {
		return applycertmanager.Certificate(name, "shop").WithSpec(applycertmanager.CertificateSpec().WithSecretName(name))
	}
	set := applyapps.StatefulSet("chat", "shop").WithSpec(applyapps.StatefulSetSpec().WithReplicas(3))
	p := plan.Plan{Apply: []plan.Configuration{certificate("chat-0-tls"), certificate("chat-1-tls"), configMap("x"), set},
		Delete: []state.Object{theConfigMap()}}
	w := newWorld()
	w.refuse = func(request string) error {
		if strings.HasPrefix(request, "apply *v1.Certificate") {
			return apierrors.NewInternalError(errors.New(`failed calling webhook "webhook.cert-manager.io": context deadline exceeded`))
		}
		return nil
	}
	err := w.applier().Apply(t.Context(), p, w.observed(t))
	if err == nil || apply.IsRejected(err) {
		t.Errorf("error %v, want one that passes", err)
	}
	asked := slices.DeleteFunc(w.take(), func(request string) bool { return strings.HasPrefix(request, "get") })
	want := []string{"apply *v1.CertificateApplyConfiguration chat-0-tls",
		"apply *v1.ConfigMapApplyConfiguration chat-distribution", "apply *v1.StatefulSetApplyConfiguration chat"}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

// A Secret that somebody has made immutable, a pod that a webhook guards, and an object that
// may not be deleted each hold up nothing that does not need them.
func TestRefusalOfOneWriteHoldsUpNoOther(t *testing.T) {
	for name, test := range map[string]struct{ refused, done string }{
		"a cookie that cannot be replaced":     {"update *v1.Secret chat-cookie", "apply *v1.ConfigMapApplyConfiguration chat-distribution"},
		"a pod that cannot be refreshed":       {"apply *v1.PodApplyConfiguration chat-0", "delete *v1.PodDisruptionBudget chat"},
		"an object that cannot be deleted":     {"delete *v1.ConfigMap chat-former", "delete *v1.PodDisruptionBudget chat"},
		"a pod of several cannot be refreshed": {"apply *v1.PodApplyConfiguration chat-0", "apply *v1.PodApplyConfiguration chat-1"},
	} {
		t.Run(name, func(t *testing.T) {
			former := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "chat-former"}}
			budget := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "chat"}}
			w := newWorld(cookie(), former, budget)
			observed := w.observed(t, former, budget)
			w.refuse = func(request string) error {
				if request == test.refused {
					return apierrors.NewForbidden(schema.GroupResource{Resource: "any"}, "x", errors.New("no"))
				}
				return nil
			}
			err := w.applier().Apply(t.Context(), plan.Plan{Replace: []*corev1.Secret{cookie()}, Apply: []plan.Configuration{configMap("x")},
				Refresh: []*applycore.PodApplyConfiguration{applycore.Pod("chat-0", "shop"), applycore.Pod("chat-1", "shop")}, Delete: observed.Owned}, observed)
			if asked := w.take(); !apply.IsRejected(err) || !slices.Contains(asked, test.refused) || !slices.Contains(asked, test.done) {
				t.Errorf("error %v; asked %v", err, asked)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	configMaps := schema.GroupResource{Resource: "configmaps"}
	for name, test := range map[string]struct {
		err  error
		want bool
	}{
		"invalid":         {apierrors.NewInvalid(schema.GroupKind{Kind: "StatefulSet"}, "chat", nil), true},
		"forbidden":       {apierrors.NewForbidden(configMaps, "x", errors.New("no")), true},
		"somebody else's": {apply.NameConflict{Name: "chat-nodes"}, true},
		// As kube-apiserver says it: TestUnknownFieldsAreSaidSo of test/envtest.
		"unknown field":    {apierrors.NewInternalError(errors.New("failed to create typed patch object (shop/chat; apps/v1, Kind=StatefulSet): .spec.template.spec.more: field not declared in schema")), true},
		"wrapped":          {fmt.Errorf("apply: %w", apierrors.NewInvalid(schema.GroupKind{Kind: "StatefulSet"}, "chat", nil)), true},
		"changed meantime": {apierrors.NewConflict(configMaps, "x", errors.New("no")), false},
		"overloaded":       {apierrors.NewTooManyRequests("later", 1), false},
		"timed out":        {context.DeadlineExceeded, false},
		"nothing":          {nil, false},
	} {
		if got := apply.IsRejected(test.err); got != test.want {
			t.Errorf("%s: refused %t, want %t", name, got, test.want)
		}
	}
}

// A plan that was made without a StatefulSet may have fewer replicas than that one, which
// only the cache does not have yet.
func TestStatefulSetThatIsNotCachedYetIsLeftAlone(t *testing.T) {
	for name, test := range map[string]struct {
		labels map[string]string
		want   int32
	}{
		"not cached yet":    {map[string]string{plan.LabelCluster: "chat"}, 3},
		"without the label": {nil, 0}, // No cache of ours will ever have it.
	} {
		t.Run(name, func(t *testing.T) {
			set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "chat", Labels: test.labels,
				OwnerReferences: []metav1.OwnerReference{plan.OwnerReference(cluster())}}, Spec: appsv1.StatefulSetSpec{Replicas: ptr.To[int32](3)}}
			w := newWorld(set)
			configuration := applyapps.StatefulSet("chat", "shop").WithSpec(applyapps.StatefulSetSpec().WithReplicas(0))
			check(t, w.applier().Apply(t.Context(), plan.Plan{Apply: []plan.Configuration{configuration}}, w.observed(t)))
			check(t, w.Get(t.Context(), client.ObjectKeyFromObject(set), set))
			if *set.Spec.Replicas != test.want {
				t.Errorf("it has %d replicas, want %d", *set.Spec.Replicas, test.want)
			}
		})
	}
}

// All that is in the way is named at once: also what would come only after it.
func TestAllThatIsInTheWayIsNamed(t *testing.T) {
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "shop", Name: name} }
	w := newWorld(&corev1.Secret{ObjectMeta: meta("chat-cookie")}, &corev1.Secret{ObjectMeta: meta("chat-0-tls")},
		&corev1.Service{ObjectMeta: meta("chat-nodes")}, &appsv1.StatefulSet{ObjectMeta: meta("chat")},
		&appsv1.Deployment{ObjectMeta: meta("chat-probe")}, theConfigMap())
	p := plan.Plan{
		Create: []*corev1.Secret{cookie()},
		Apply: []plan.Configuration{applycore.Service("chat-nodes", "shop"), applycore.ServiceAccount("chat-probe", "shop"),
			applycertmanager.Certificate("chat-0-tls", "shop").WithSpec(applycertmanager.CertificateSpec().WithSecretName("chat-0-tls")),
			applyapps.StatefulSet("chat", "shop")},
		Held: []plan.Configuration{applycore.ConfigMap("chat-distribution", "shop"), applyapps.Deployment("chat-probe", "shop")},
	}
	var names []string
	for _, conflict := range apply.NameConflicts(w.applier().Apply(t.Context(), p, w.observed(t))) {
		names = append(names, conflict.Resource())
	}
	want := []string{"secret/chat-cookie", "service/chat-nodes", "secret/chat-0-tls", "statefulset.apps/chat",
		"configmap/chat-distribution", "deployment.apps/chat-probe"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("in the way (-want +got):\n%s", diff)
	}
}

// An object of somebody else's holds up what depends on it, and nothing more.
func TestOnlyWhatDependsOnAnObjectWaitsForIt(t *testing.T) {
	budget := applypolicy.PodDisruptionBudget("chat", "shop")
	service := applycore.Service("chat-nodes", "shop")
	set := applyapps.StatefulSet("chat", "shop").WithSpec(applyapps.StatefulSetSpec().WithReplicas(3))
	p := plan.Plan{Apply: []plan.Configuration{service, budget, configMap("one"), set}}
	for name, test := range map[string]struct {
		foreign client.Object
		applied []string
	}{
		"a PodDisruptionBudget": {&policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "chat"}},
			[]string{"Service", "ConfigMap", "StatefulSet"}},
		"the Service":   {&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "chat-nodes"}}, []string{"PodDisruptionBudget", "ConfigMap"}},
		"the ConfigMap": {theConfigMap(), []string{"Service", "PodDisruptionBudget"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(test.foreign)
			err := w.applier().Apply(t.Context(), p, w.observed(t))
			if !apply.IsNameConflict(err) || !strings.Contains(err.Error(), test.foreign.GetName()) {
				t.Errorf("error %v, want one about %s", err, test.foreign.GetName())
			}
			var applied []string
			for _, request := range w.take() {
				if kind, found := strings.CutPrefix(request, "apply *v1."); found && !strings.HasSuffix(request, "it exists") {
					applied = append(applied, strings.Split(kind, "ApplyConfiguration")[0])
				}
			}
			if diff := cmp.Diff(test.applied, applied); diff != "" {
				t.Errorf("applied (-want +got):\n%s", diff)
			}
		})
	}
}

// What others write of the status of an object, and so move its version, is no reason to apply
// the same again. What they change of its content, its labels or its controller is.
func TestMarkIsOfWhatIsOurs(t *testing.T) {
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Generation: 3, ResourceVersion: "7", Labels: map[string]string{"a": "b"},
		OwnerReferences: []metav1.OwnerReference{plan.OwnerReference(cluster())}}}
	for name, test := range map[string]struct {
		change func(*appsv1.StatefulSet)
		same   bool
	}{
		"status":              {func(s *appsv1.StatefulSet) { s.ResourceVersion, s.Status.Replicas = "8", 3 }, true},
		"an annotation":       {func(s *appsv1.StatefulSet) { s.Annotations = map[string]string{"note": "theirs"} }, true},
		"content":             {func(s *appsv1.StatefulSet) { s.Generation++ }, false},
		"a label":             {func(s *appsv1.StatefulSet) { s.Labels = nil }, false},
		"another of its name": {func(s *appsv1.StatefulSet) { s.UID = "another" }, false},
		"the controller":      {func(s *appsv1.StatefulSet) { s.OwnerReferences[0].UID = "other" }, false},
		"not its controller":  {func(s *appsv1.StatefulSet) { s.OwnerReferences[0].Controller = ptr.To(false) }, false},
		"another owner": {func(s *appsv1.StatefulSet) {
			s.OwnerReferences = append(s.OwnerReferences, metav1.OwnerReference{Name: "theirs", UID: "theirs"})
		}, true},
		"the controller twice": {func(s *appsv1.StatefulSet) {
			again := s.OwnerReferences[0]
			again.Controller = ptr.To(false)
			s.OwnerReferences = append(s.OwnerReferences, again)
		}, false},
		"a kind of no generation": {func(s *appsv1.StatefulSet) { s.Generation = 0 }, false},
	} {
		before, changed := set.DeepCopy(), set.DeepCopy()
		test.change(changed)
		apply.Mark(before)
		apply.Mark(changed)
		if got := changed.GetSelfLink() == before.GetSelfLink(); got != test.same {
			t.Errorf("%s: same mark: %t, want %t", name, got, test.same)
		}
	}
}
