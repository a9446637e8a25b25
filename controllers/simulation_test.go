package controllers

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/tools/events"
	testclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/certstest"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/apply"
	"github.com/erlang-operator/erlang-operator/controllers/internal/observe"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
)

// A simulation is an API server's memory and those who act on it beside the manager:
// cert-manager, the StatefulSet controller, the probe. The real ones are tested in
// test/envtest and test/e2e; these here can be stopped between any two requests.
type simulation struct {
	present client.WithWatch
	// writes of the manager so far.
	writes int
	// fault, if set, is what comes to each write after it was done. With errCrashed the
	// manager dies.
	fault func(write int) error
	dead  bool
	uids  int
}

// errCrashed is what a dead manager's requests come to.
var errCrashed = errors.New("the manager has crashed")

// testScheme knows the kinds that matter, and no more: the fake client goes through
// all of them at each apply.
var testScheme = func() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		admissionv1.AddToScheme, appsv1.AddToScheme, corev1.AddToScheme, eventsv1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme,
		rbacv1.AddToScheme, certmanager.AddToScheme, v1alpha1.AddToScheme,
	} {
		must(add(scheme))
	}
	return scheme
}()

// fakeClient is an API server's memory with these objects.
func fakeClient(objects ...client.Object) client.WithWatch {
	return fake.NewClientBuilder().WithScheme(testScheme).WithGlobalResourceVersionCounter().
		WithStatusSubresource(&v1alpha1.ErlangCluster{}).
		WithTypeConverters(managedfields.NewDeducedTypeConverter()).WithReturnManagedFields().
		WithIndex(&eventsv1.Event{}, "regarding.uid", func(object client.Object) []string {
			return []string{string(object.(*eventsv1.Event).Regarding.UID)}
		}).
		WithObjects(objects...).Build()
}

func init() {
	log.SetLogger(logr.Discard())
	// There are hundreds of small simulations: with the default, garbage collection takes
	// a third of the time.
	debug.SetGCPercent(400)
}

func newSimulation(cluster *v1alpha1.ErlangCluster) *simulation {
	return &simulation{present: fakeClient(
		cluster,
		&admissionv1.MutatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: observe.Admission}},
		&admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: observe.Admission}},
	)}
}

// manager is a new manager whose cache is that client.
func (w *simulation) manager(present client.Client) *Reconciler {
	w.dead = false
	cached := trimmingClient{present}
	split := splitClient{Client: w.withFaults(), cached: cached}
	recorder := events.NewFakeRecorder(1000)
	return &Reconciler{
		Client:   split,
		Recorder: recorder,
		Operator: Settings{Image: "example.com/erlang-operator:v1", Domain: naming.DefaultDomain, PodIdentity: ByPolicy},
		observer: &observe.Observer{Cached: split, Secrets: cached, WatchSecrets: func() error { return nil }, Live: w.present, Domain: naming.DefaultDomain,
			Clock: testclock.NewFakePassiveClock(statetest.Now), ClusterWide: true, MaySign: true, PodIdentity: ByPolicy, Served: Served{AdmissionPolicies: true}},
		applier: &apply.Applier{Client: split, Live: w.present, Recorder: recorder},
	}
}

// splitClient writes to the API server and reads from a cache, which may be stale.
type splitClient struct {
	client.Client
	cached client.Client
}

func (c splitClient) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	return c.cached.Get(ctx, key, object, options...)
}

func (c splitClient) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	return c.cached.List(ctx, list, options...)
}

// trimmingClient returns objects as they are in the cache.
type trimmingClient struct{ client.Client }

func (c trimmingClient) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if err := c.Client.Get(ctx, key, object, options...); err != nil {
		return err
	}
	_, err := trim(object)
	return err
}

func (c trimmingClient) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if err := c.Client.List(ctx, list, options...); err != nil {
		return err
	}
	return meta.EachListItem(list, func(object runtime.Object) error {
		_, err := trim(object)
		return err
	})
}

// withFaults is the client of a manager.
func (w *simulation) withFaults() client.Client {
	var one sync.Mutex // Readiness gates are opened several at a time.
	write := func(do func() error) error {
		one.Lock()
		defer one.Unlock()
		if w.dead {
			return errCrashed
		}
		w.writes++
		number := w.writes
		err := do()
		if w.fault != nil {
			if fault := w.fault(number); fault != nil {
				w.dead = errors.Is(fault, errCrashed)
				return fault
			}
		}
		return err
	}
	owner := client.FieldOwner(FieldOwner)
	return interceptor.NewClient(w.present, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			return write(func() error { object.SetUID(w.uid()); return c.Create(ctx, object, options...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.UpdateOption) error {
			return write(func() error { return c.Update(ctx, object, options...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.DeleteOption) error {
			return write(func() error {
				// The fake honours only the version of the preconditions.
				there := object.DeepCopyObject().(client.Object)
				if err := c.Get(ctx, client.ObjectKeyFromObject(object), there); err != nil {
					return err
				}
				if want := (&client.DeleteOptions{}).ApplyOptions(options).Preconditions; want == nil || want.UID == nil || *want.UID != there.GetUID() {
					return apierrors.NewConflict(certmanager.Resource("any"), object.GetName(), errors.New("another one"))
				}
				return c.Delete(ctx, object, options...)
			})
		},
		Apply: func(ctx context.Context, c client.WithWatch, configuration runtime.ApplyConfiguration, options ...client.ApplyOption) error {
			return write(func() error {
				if err := w.checkUID(configuration); err != nil {
					return err
				}
				err := c.Apply(ctx, configuration, append(options, owner)...)
				if err == nil {
					w.giveUID(configuration)
				}
				return err
			})
		},
		SubResourceApply: func(ctx context.Context, c client.Client, name string, configuration runtime.ApplyConfiguration, options ...client.SubResourceApplyOption) error {
			return write(func() error {
				if err := w.checkUID(configuration); err != nil {
					return err
				}
				return c.SubResource(name).Apply(ctx, configuration, append(options, owner)...)
			})
		},
	})
}

// checkUID rejects an apply to an object of another UID, or of a new object where one exists, as the API server does, and the
// fake does not. (See test/envtest.)
func (w *simulation) checkUID(configuration runtime.ApplyConfiguration) error {
	wanted, there := headOf(configuration), headOf(configuration)
	err := w.present.Get(context.Background(), client.ObjectKeyFromObject(wanted), there)
	must(client.IgnoreNotFound(err))
	if err == nil && wanted.ResourceVersion != "" {
		return apierrors.NewConflict(schema.GroupResource{Resource: wanted.Kind}, wanted.Name, errors.New("it exists"))
	}
	if err == nil && wanted.UID != "" && wanted.UID != there.UID {
		return apierrors.NewInvalid(wanted.GroupVersionKind().GroupKind(), wanted.Name,
			field.ErrorList{field.Invalid(field.NewPath("metadata", "uid"), wanted.UID, "field is immutable")})
	}
	return nil
}

// giveUID gives an object that an apply has created a UID, as the API server does, and the
// configuration the version that results.
func (w *simulation) giveUID(configuration runtime.ApplyConfiguration) {
	head := headOf(configuration)
	if head.UID != "" {
		return
	}
	object, err := testScheme.New(head.GroupVersionKind())
	must(err)
	made := object.(client.Object)
	must(w.present.Get(context.Background(), client.ObjectKeyFromObject(head), made))
	made.SetUID(w.uid())
	must(w.present.Update(context.Background(), made))
	reflect.ValueOf(configuration).MethodByName("WithResourceVersion").Call([]reflect.Value{reflect.ValueOf(made.GetResourceVersion())})
}

func headOf(configuration runtime.ApplyConfiguration) *metav1.PartialObjectMetadata {
	text, err := json.Marshal(configuration)
	must(err)
	head := &metav1.PartialObjectMetadata{}
	must(json.Unmarshal(text, head))
	return head
}

func (w *simulation) uid() types.UID {
	w.uids++
	return types.UID(fmt.Sprintf("uid-%d", w.uids))
}

// cluster as it is now.
func (w *simulation) cluster() *v1alpha1.ErlangCluster {
	cluster := &v1alpha1.ErlangCluster{}
	must(w.present.Get(context.Background(), types.NamespacedName{Namespace: "shop", Name: "chat"}, cluster))
	return cluster
}

// edit changes the spec, as a user does.
func (w *simulation) edit(change func(*v1alpha1.ErlangClusterSpec)) {
	cluster := w.cluster()
	change(&cluster.Spec)
	cluster.Generation++
	must(w.present.Update(context.Background(), cluster))
}

// converge lets a manager, and the others, work until none has anything more to do.
// A pass that fails is tried again, unless the manager has died of it.
func (w *simulation) converge(manager *Reconciler) error {
	var err error
	for range 40 {
		before := w.writes
		_, err = manager.reconcile(context.Background(), w.cluster())
		if w.dead {
			return errCrashed
		}
		if !w.others() && w.writes == before && err == nil {
			return nil
		}
	}
	return fmt.Errorf("it does not come to rest: %w", err)
}

// copied is another simulation in which everything is as it is in this one.
func (w *simulation) copied() *simulation {
	return &simulation{present: fakeClient(w.objects()...), uids: w.uids}
}

// others do what the rest of the simulation would; true when there was something to do.
func (w *simulation) others() bool {
	acted := false
	for _, act := range []func() bool{w.certManager, w.statefulSetController, w.kubelet, w.probe} {
		acted = act() || acted
	}
	return acted
}

// certManager issues each Certificate, once its CA is there, and again when it names
// another issuer.
func (w *simulation) certManager() (acted bool) {
	ctx := context.Background()
	var certificates certmanager.CertificateList
	must(w.present.List(ctx, &certificates))
	for _, certificate := range certificates.Items {
		issuer := certificate.Spec.IssuerRef
		secret := &corev1.Secret{}
		err := w.present.Get(ctx, types.NamespacedName{Namespace: certificate.Namespace, Name: certificate.Spec.SecretName}, secret)
		must(client.IgnoreNotFound(err))
		if err == nil && secret.Annotations[certmanager.IssuerNameAnnotationKey] == issuer.Name {
			continue
		}
		data := map[string][]byte{corev1.TLSCertKey: certstest.PEM(certstest.NewAuthority(certificate.Name).Certificate)}
		if !certificate.Spec.IsCA {
			if apierrors.IsNotFound(w.present.Get(ctx, types.NamespacedName{Namespace: certificate.Namespace, Name: issuer.Name}, &corev1.Secret{})) {
				continue
			}
			data[corev1.TLSCertKey] = certstest.PEM(certstest.NewAuthority(issuer.Name).Issue(certificate.Spec.DNSNames[0]))
		}
		secret.Namespace, secret.Name, secret.Data = certificate.Namespace, certificate.Spec.SecretName, data
		secret.Labels = certificate.Spec.SecretTemplate.Labels
		secret.Annotations = map[string]string{
			certmanager.CertificateNameKey: certificate.Name, certmanager.IssuerNameAnnotationKey: issuer.Name,
			certmanager.IssuerKindAnnotationKey: issuer.Kind, certmanager.IssuerGroupAnnotationKey: issuer.Group,
		}
		maps.Copy(secret.Annotations, certificate.Spec.SecretTemplate.Annotations)
		if err == nil {
			must(w.present.Update(ctx, secret))
		} else {
			secret.UID = w.uid()
			must(w.present.Create(ctx, secret))
		}
		acted = true
	}
	return acted
}

// nearlyExpire replaces a private CA by one that expires soon.
func (w *simulation) nearlyExpire(ca string) {
	ctx := context.Background()
	secret := &corev1.Secret{}
	must(w.present.Get(ctx, types.NamespacedName{Namespace: "shop", Name: ca}, secret))
	secret.Data[corev1.TLSCertKey] = certstest.PEM(certstest.NewAuthority(ca, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = certstest.Start.AddDate(-10, 0, 0), statetest.Now.AddDate(0, 0, 20)
	}).Certificate)
	must(w.present.Update(ctx, secret))
}

// statefulSetController makes and removes pods, and the admission policy gives each
// its Secret.
func (w *simulation) statefulSetController() (acted bool) {
	ctx := context.Background()
	var sets appsv1.StatefulSetList
	must(w.present.List(ctx, &sets))
	for _, set := range sets.Items {
		var pods corev1.PodList
		must(w.present.List(ctx, &pods, client.MatchingLabels(set.Spec.Selector.MatchLabels)))
		there := map[string]bool{}
		for _, pod := range pods.Items {
			there[pod.Name] = true
		}
		for ordinal := range *set.Spec.Replicas {
			name := fmt.Sprintf("%s-%d", set.Name, ordinal)
			if there[name] {
				delete(there, name)
				continue
			}
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: set.Namespace, Name: name, UID: w.uid(),
					Labels: set.Spec.Template.Labels, CreationTimestamp: metav1.NewTime(certstest.Start)},
				Spec:   *set.Spec.Template.Spec.DeepCopy(),
				Status: corev1.PodStatus{Phase: corev1.PodRunning},
			}
			for i := range pod.Spec.Volumes {
				if secret := pod.Spec.Volumes[i].Secret; secret != nil {
					secret.SecretName = name + "-tls"
				}
			}
			must(w.present.Create(ctx, pod))
			acted = true
		}
		for name := range there {
			must(w.present.Delete(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: set.Namespace, Name: name}}))
			acted = true
		}
	}
	return acted
}

// kubelet makes the containers of every pod Ready. The fake client replaces the list of
// conditions with each apply of one, where the API server merges them.
func (w *simulation) kubelet() (acted bool) {
	var pods corev1.PodList
	must(w.present.List(context.Background(), &pods))
	for _, pod := range pods.Items {
		isReady := func(c corev1.PodCondition) bool { return c.Type == corev1.ContainersReady }
		if slices.ContainsFunc(pod.Status.Conditions, isReady) {
			continue
		}
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: corev1.ContainersReady, Status: corev1.ConditionTrue})
		must(w.present.Status().Update(context.Background(), &pod))
		acted = true
	}
	return acted
}

// probe finds every pod well, and all of them linked.
func (w *simulation) probe() bool {
	ctx := context.Background()
	cluster := w.cluster()
	var pods corev1.PodList
	must(w.present.List(ctx, &pods))
	var cookie corev1.Secret
	if err := w.present.Get(ctx, types.NamespacedName{Namespace: "shop", Name: "chat-cookie"}, &cookie); err != nil || len(pods.Items) == 0 {
		return false
	}
	count := int32(len(pods.Items))
	mesh := &v1alpha1.MeshStatus{
		ObservedGeneration: cluster.Generation, CookieVersion: cookie.ResourceVersion, Components: 1, Links: count * (count - 1) / 2,
	}
	for _, pod := range pods.Items {
		node := v1alpha1.NodeStatus{
			Pod: pod.Name, Node: "chat@" + pod.Name, Stage: v1alpha1.StageCall, Reason: v1alpha1.ReasonVerified,
			Incarnation: 1, PodUID: string(pod.UID), StartedAt: &pod.CreationTimestamp, Links: count - 1, Refusals: &v1alpha1.RefusalStatus{Incarnation: 1},
		}
		w.seeCertificates(&node)
		mesh.Nodes = append(mesh.Nodes, node)
	}
	slices.SortFunc(mesh.Nodes, func(a, b v1alpha1.NodeStatus) int { return strings.Compare(a.Pod, b.Pod) })
	if was, _ := json.Marshal(cluster.Status.Mesh); cluster.Status.Mesh != nil {
		if is, _ := json.Marshal(mesh); string(was) == string(is) {
			return false
		}
	}
	cluster.Status.Mesh = mesh
	must(w.present.Status().Update(ctx, cluster))
	return true
}

// seeCertificates: a node serves what is stored, and makes of the canary what the trust
// bundle says.
func (w *simulation) seeCertificates(node *v1alpha1.NodeStatus) {
	var distribution corev1.ConfigMap
	must(w.present.Get(context.Background(), types.NamespacedName{Namespace: "shop", Name: "chat-distribution"}, &distribution))
	trust, err := certs.ParseTrust([]byte(distribution.Data[naming.TrustKey]))
	must(err)
	leaf := func(owner string) *x509.Certificate {
		var secret corev1.Secret
		if err := w.present.Get(context.Background(), types.NamespacedName{Namespace: "shop", Name: owner + "-tls"}, &secret); apierrors.IsNotFound(err) {
			return nil
		}
		leaf, err := certs.ParseCertificate(secret.Data[corev1.TLSCertKey], nil)
		must(err)
		return leaf.X509
	}
	if served := leaf(node.Pod); served != nil {
		node.CertificateSerial = certs.Serial(served)
		node.CertificateNotAfter = ptr.To(metav1.NewTime(served.NotAfter))
		if signer := trust.IssuingCA(served); signer != nil {
			node.CertificateAuthority = certs.Identity(signer)
		}
	}
	if canary := leaf("chat-probe-canary"); canary != nil {
		node.Canary = &v1alpha1.CanaryStatus{Result: v1alpha1.CanaryRefused,
			CertificateAuthority: certs.Identity(certstest.NewAuthority(canary.Issuer.CommonName).Certificate)}
		if trust.IssuingCA(canary) != nil {
			node.Canary.Result = v1alpha1.CanaryAccepted
		}
	}
}

// objects are all that there are. None of them has the mark of those in the cache.
func (w *simulation) objects() []client.Object {
	lists := []client.ObjectList{&v1alpha1.ErlangClusterList{}, &corev1.PodList{}, &certmanager.ClusterIssuerList{},
		&admissionv1.MutatingAdmissionPolicyList{}, &admissionv1.MutatingAdmissionPolicyBindingList{}}
	for _, kind := range observe.OwnedKinds() {
		gvks, _, err := testScheme.ObjectKinds(kind)
		must(err)
		list, err := testScheme.New(gvks[0].GroupVersion().WithKind(gvks[0].Kind + "List"))
		must(err)
		lists = append(lists, list.(client.ObjectList))
	}
	var all []client.Object
	for _, list := range lists {
		must(w.present.List(context.Background(), list))
		items, err := meta.ExtractList(list)
		must(err)
		for _, item := range items {
			object := item.(client.Object)
			if object.GetSelfLink() != "" {
				panic(object.GetName() + " was written with what the cache has added")
			}
			all = append(all, object)
		}
	}
	return all
}

// contents are all that there is, but for the versions of the objects: the fake makes a
// new one when nothing changes, too.
func (w *simulation) contents() []string {
	var all []string
	for _, object := range w.objects() {
		object = object.DeepCopyObject().(client.Object)
		object.SetResourceVersion("")
		object.SetManagedFields(nil)
		text, err := json.Marshal(object)
		must(err)
		all = append(all, string(text))
	}
	return all
}

// description is all that there is, but for what differs from run to run.
func (w *simulation) description() map[string]string {
	all := map[string]string{}
	for _, object := range w.objects() {
		object = object.DeepCopyObject().(client.Object)
		object.SetResourceVersion("")
		object.SetUID("")
		object.SetManagedFields(nil)
		owners := object.GetOwnerReferences()
		for i := range owners {
			if owners[i].Kind == certmanager.CertificateKind {
				owners[i].UID = ""
			}
		}
		object.SetOwnerReferences(owners)
		switch object := object.(type) {
		case *corev1.Secret:
			if _, ok := object.Data[naming.CookieKey]; ok {
				object.Data = nil
			}
		case *appsv1.Deployment:
			object.Spec.Template.Annotations = nil // the UID of the ServiceAccount
		case *v1alpha1.ErlangCluster:
			object.Generation, object.Status.ObservedGeneration = 0, 0
			object.Status.Mesh = nil
			for i := range object.Status.Conditions {
				object.Status.Conditions[i].ObservedGeneration = 0
			}
		}
		text, err := json.MarshalIndent(object, "", " ")
		must(err)
		all[fmt.Sprintf("%T %s", object, object.GetName())] = string(text)
	}
	return all
}

// cas are the names of the private CAs that there are.
func (w *simulation) cas() []string {
	var certificates certmanager.CertificateList
	must(w.present.List(context.Background(), &certificates))
	var names []string
	for _, certificate := range certificates.Items {
		if certificate.Spec.IsCA {
			names = append(names, certificate.Name)
		}
	}
	return names
}

// cookie that the cluster has; empty when it has none.
func (w *simulation) cookie() string {
	var secret corev1.Secret
	err := w.present.Get(context.Background(), types.NamespacedName{Namespace: "shop", Name: "chat-cookie"}, &secret)
	must(client.IgnoreNotFound(err))
	return string(secret.Data[naming.CookieKey])
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
