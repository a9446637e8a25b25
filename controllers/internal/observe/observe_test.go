package observe_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/observe"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
)

// A server holds objects, records what is read of them, and can fail a read.
type server struct {
	client.WithWatch
	reads []string
	fail  string
}

var errInjected = errors.New("injected")

func newServer(t *testing.T, objects ...client.Object) *server {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, certmanager.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	s := &server{}
	regarding := func(object client.Object) []string { return []string{string(object.(*eventsv1.Event).Regarding.UID)} }
	stored := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithIndex(&eventsv1.Event{}, "regarding.uid", regarding).Build()
	s.WithWatch = interceptor.NewClient(stored, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			if err := s.read(fmt.Sprintf("get %T %s", object, key.Name)); err != nil {
				return err
			}
			return c.Get(ctx, key, object, options...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			if err := s.read(fmt.Sprintf("list %T", list)); err != nil {
				return err
			}
			return c.List(ctx, list, options...)
		},
	})
	return s
}

func (s *server) read(what string) error {
	s.reads = append(s.reads, what)
	if what == s.fail {
		return errInjected
	}
	return nil
}

func (s *server) observer() *observe.Observer {
	return &observe.Observer{Cached: s, Secrets: s, WatchSecrets: func() error { return nil }, Live: s, Domain: naming.DefaultDomain, Clock: testclock.NewFakePassiveClock(statetest.Now),
		ClusterWide: true, PodIdentity: state.ByPolicy, Served: observe.Served{AdmissionPolicies: true, PodCertificates: true}}
}

// minimal refers to nothing.
func minimal() *v1alpha1.ErlangCluster {
	return statetest.MustCluster("metadata: {name: chat, namespace: shop}\nspec: {replicas: 3, template: {spec: {containers: [{name: chat, image: x}]}}}")
}

// cluster refers to everything that a cluster can refer to.
func cluster() *v1alpha1.ErlangCluster {
	cluster := minimal()
	cluster.Spec.Cookie.SecretKeyRef = &v1alpha1.SecretKeyReference{Name: "legacy", Key: "cookie"}
	cluster.Spec.TLS.IssuerRef = &v1alpha1.IssuerReference{Name: "corp", Kind: certmanager.IssuerKind, Group: certmanager.SchemeGroupVersion.Group}
	return cluster
}

func legacyCookie() *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "legacy", UID: "legacy"},
		Data: map[string][]byte{"cookie": []byte("MonsterOfCookies"), "other": []byte("password")}}
}

func issuer() *certmanager.Issuer {
	return &certmanager.Issuer{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "corp"}}
}

// An observation is complete or an error: a read that fails is never taken for absence.
func TestFailedReadIsNoAbsence(t *testing.T) {
	policy := metav1.ObjectMeta{Name: observe.Admission}
	objects := []client.Object{legacyCookie(), issuer(),
		&admissionv1.MutatingAdmissionPolicy{ObjectMeta: policy}, &admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: policy}}
	undisturbed := newServer(t, objects...)
	if _, err := undisturbed.observer().Observe(t.Context(), cluster()); err != nil {
		t.Fatal(err)
	}
	if len(undisturbed.reads) < 18 {
		t.Fatalf("only %d reads: %v", len(undisturbed.reads), undisturbed.reads)
	}
	for _, read := range undisturbed.reads {
		s := newServer(t, objects...)
		s.fail = read
		if _, err := s.observer().Observe(t.Context(), cluster()); !errors.Is(err, errInjected) {
			t.Errorf("%s fails, and the error is %v", read, err)
		}
	}
}

// What has the cluster's labels belongs to it only if it is the controller; a Secret also
// if cert-manager created it for a Certificate.
func TestOwned(t *testing.T) {
	namesake := cluster()
	namesake.UID = "deleted"
	object := func(name string, owner *v1alpha1.ErlangCluster) metav1.ObjectMeta {
		meta := metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: plan.Labels("chat")}
		if owner != nil {
			meta.OwnerReferences = []metav1.OwnerReference{plan.OwnerReference(owner)}
		}
		return meta
	}
	issued := &corev1.Secret{ObjectMeta: object("chat-0-tls", nil)}
	// Labels and cert-manager's annotation are on Secrets of users, too.
	users, left := &corev1.Secret{ObjectMeta: object("users-tls", nil)}, &corev1.Secret{ObjectMeta: object("chat-7-tls", nil)}
	for _, secret := range []*corev1.Secret{issued, users, left} {
		secret.Annotations = map[string]string{certmanager.CertificateNameKey: secret.Name}
	}
	left.Annotations[plan.AnnotationClusterUID] = string(cluster().UID)
	s := newServer(t, issued, users, left,
		&corev1.Secret{ObjectMeta: object("chat-cookie", cluster())}, &corev1.Secret{ObjectMeta: object("unowned", nil)},
		&certmanager.Certificate{ObjectMeta: object("chat-0-tls", cluster())}, &certmanager.Certificate{ObjectMeta: object("chat-1-tls", namesake)},
		&corev1.ConfigMap{ObjectMeta: object("chat-distribution", namesake)},
	)
	observed, err := s.observer().Observe(t.Context(), cluster())
	if err != nil {
		t.Fatal(err)
	}
	var owned []string
	for _, object := range observed.Owned {
		owned = append(owned, object.GetObjectKind().GroupVersionKind().Kind+" "+object.GetName())
	}
	if diff := cmp.Diff([]string{"Certificate chat-0-tls", "Secret chat-cookie"}, owned); diff != "" {
		t.Errorf("owned (-want +got):\n%s", diff)
	}
	if observed.Secrets["chat-0-tls"] == nil || observed.Secrets["chat-cookie"] == nil || observed.Secrets["chat-7-tls"] == nil || len(observed.Secrets) != 3 {
		t.Errorf("secrets: %v", observed.Secrets)
	}
	if len(observed.Certificates) != 1 || observed.Distribution != nil {
		t.Errorf("objects of a deleted namesake are taken for ours: %v, %v", observed.Certificates, observed.Distribution)
	}
}

// The cookie's Secret is observed without its labels, or without its owner reference, though
// caches do not have it then.
func TestCookieWithoutLabelsOrOwner(t *testing.T) {
	owner := []metav1.OwnerReference{plan.OwnerReference(cluster())}
	for name, test := range map[string]struct {
		labels   map[string]string
		owners   []metav1.OwnerReference
		observed bool
	}{
		"no labels":           {nil, owner, true},
		"no owner":            {plan.Labels("chat"), nil, true},
		"neither":             {nil, nil, false},
		"one label, no owner": {map[string]string{plan.LabelCluster: "chat"}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			cookie := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "chat-cookie", Labels: test.labels, OwnerReferences: test.owners}}
			observed, err := newServer(t, legacyCookie(), issuer(), cookie).observer().Observe(t.Context(), cluster())
			if err != nil {
				t.Fatal(err)
			}
			if got := observed.Secrets["chat-cookie"] != nil; got != test.observed {
				t.Errorf("observed: %t, want %t", got, test.observed)
			}
		})
	}
}

// The Secret of a user is read once for each of its versions.
func TestUserCookieIsReadOncePerVersion(t *testing.T) {
	s := newServer(t, legacyCookie(), issuer())
	observer := s.observer()
	live := func() int {
		s.reads = nil
		observed, err := observer.Observe(t.Context(), cluster())
		if err != nil {
			t.Fatal(err)
		}
		if !observed.UserCookie.KeyFound || len(observed.UserCookie.Value) == 0 {
			t.Fatalf("cookie: %+v", observed.UserCookie)
		}
		return len(slices.DeleteFunc(s.reads, func(read string) bool { return read != "get *v1.Secret legacy" }))
	}
	if first, second := live(), live(); first != 1 || second != 0 {
		t.Errorf("read %d times, and then %d times", first, second)
	}
	changed := legacyCookie()
	changed.Data["cookie"] = []byte("AnotherCookie")
	if err := s.Update(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	if again := live(); again != 1 {
		t.Errorf("a new version is read %d times", again)
	}
	observer.Forget(client.ObjectKeyFromObject(cluster()))
	if again := live(); again != 1 {
		t.Errorf("after it was forgotten it is read %d times", again)
	}
}

func TestIssuer(t *testing.T) {
	sealed := issuer()
	sealed.Status.Conditions = []certmanager.IssuerCondition{{
		Type: certmanager.IssuerConditionReady, Status: certmanagermeta.ConditionFalse, Message: "sealed"}}
	for name, test := range map[string]struct {
		ref    v1alpha1.IssuerReference
		exists []client.Object
		want   state.Issuer
	}{
		"ready":              {*cluster().Spec.TLS.IssuerRef, []client.Object{issuer()}, state.Issuer{KindKnown: true, Found: true}},
		"not ready":          {*cluster().Spec.TLS.IssuerRef, []client.Object{sealed}, state.Issuer{KindKnown: true, Found: true, Refuses: "sealed"}},
		"missing":            {*cluster().Spec.TLS.IssuerRef, nil, state.Issuer{KindKnown: true}},
		"of no known kind":   {v1alpha1.IssuerReference{Name: "corp", Kind: "VaultIssuer", Group: "vault.example.com"}, nil, state.Issuer{}},
		"of a kind not ours": {v1alpha1.IssuerReference{Name: "corp", Kind: "Certificate", Group: certmanager.SchemeGroupVersion.Group}, nil, state.Issuer{}},
	} {
		t.Run(name, func(t *testing.T) {
			c := cluster()
			c.Spec.TLS.IssuerRef = &test.ref
			observed, err := newServer(t, test.exists...).observer().Observe(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&test.want, observed.Issuer); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The nodes keep their names when the manager's flag changes. A Certificate that somebody
// edited does not rename them, nor does one of somebody else's.
func TestClusterKeepsItsDomain(t *testing.T) {
	for name, test := range map[string]struct {
		hosts []string
		want  string
	}{
		"a new cluster":             {nil, "cluster.local"},
		"created with another flag": {[]string{"chat-probe.shop.svc.k8s.example", "chat-0.chat-nodes.shop.svc.k8s.example"}, "k8s.example"},
		"a Certificate was edited":  {[]string{"chat-probe.shop.svc.evil.example", "chat-0.chat-nodes.shop.svc.cluster.local"}, "cluster.local"},
		"a name of another form":    {[]string{"evil.example"}, "cluster.local"},
	} {
		t.Run(name, func(t *testing.T) {
			objects := []client.Object{legacyCookie(), issuer(), &certmanager.Certificate{
				ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "foreign", Labels: plan.Labels("chat")},
				Spec:       certmanager.CertificateSpec{DNSNames: []string{"chat-1.chat-nodes.shop.svc.foreign.example"}}}}
			for i, host := range test.hosts {
				objects = append(objects, &certmanager.Certificate{
					ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("chat-%d-tls", i), Labels: plan.Labels("chat"),
						OwnerReferences: []metav1.OwnerReference{plan.OwnerReference(cluster())}},
					Spec: certmanager.CertificateSpec{DNSNames: []string{host}}})
			}
			observed, err := newServer(t, objects...).observer().Observe(t.Context(), cluster())
			if err != nil || observed.Names.ClusterDomain() != test.want || observed.ConfiguredDomain != naming.DefaultDomain {
				t.Errorf("domain %q, configured %q (%v); want %q", observed.Names.ClusterDomain(), observed.ConfiguredDomain, err, test.want)
			}
		})
	}
}

// The latest CertificateRequest is the one of the highest revision, where two are of the
// same second, in whatever order the cache has them.
func TestLatestRequestIsOfTheHighestRevision(t *testing.T) {
	certificate := &certmanager.Certificate{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "chat-0-tls", UID: "certificate",
		Labels: plan.Labels("chat"), OwnerReferences: []metav1.OwnerReference{plan.OwnerReference(cluster())}}}
	for _, names := range [][2]string{{"a", "b"}, {"b", "a"}} {
		objects := []client.Object{certificate.DeepCopy()}
		for i, name := range names {
			request := &certmanager.CertificateRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: plan.Labels("chat"),
				CreationTimestamp: metav1.NewTime(statetest.Now.Truncate(time.Second)),
				Annotations:       map[string]string{certmanager.CertificateNameKey: certificate.Name, certmanager.CertificateRequestRevisionAnnotationKey: []string{"9", "10"}[i]},
				OwnerReferences:   []metav1.OwnerReference{*metav1.NewControllerRef(certificate, certmanager.SchemeGroupVersion.WithKind(certmanager.CertificateKind))}}}
			request.Status.Certificate = []byte("issued")
			objects = append(objects, request)
		}
		observed, err := newServer(t, objects...).observer().Observe(t.Context(), cluster())
		if err != nil {
			t.Fatal(err)
		}
		for what, latest := range map[string]*certmanager.CertificateRequest{"request": observed.Requests[certificate.Name], "issued one": observed.Issued[certificate.Name]} {
			if latest == nil || latest.Name != names[1] {
				t.Errorf("the latest %s of %v is %v", what, names, latest)
			}
		}
	}
}
