package envtest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	kstatus "sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/certstest"
	"github.com/erlang-operator/erlang-operator/test/await"
)

var namespaces atomic.Int32

// newNamespace creates a namespace for a test. It enforces the restricted Pod Security
// Standard, which the probe must meet.
func newNamespace(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("test-%d", namespaces.Add(1))
	if err := admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}); err != nil {
		t.Fatal(err)
	}
	return name
}

// minimal is the YAML of the README, with a security context as a restricted
// namespace asks for.
const minimal = `
apiVersion: erlang-operator.dev/v1alpha1
kind: ErlangCluster
metadata: {name: chat}
spec:
  replicas: 3
  template:
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: chat
        image: example.com/chat:1.4.2
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
`

// object parses YAML as a user's client would send it: without defaults.
func object(t *testing.T, namespace, text string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &object.Object); err != nil {
		t.Fatalf("read %s: %v", text, err)
	}
	object.SetNamespace(namespace)
	return object
}

// create creates an object of the user's, and deletes it when the test ends: the manager
// of the next test would reconcile it too.
func create(t *testing.T, object client.Object) {
	t.Helper()
	check(t, admin.Create(t.Context(), object))
	t.Cleanup(func() {
		if err := client.IgnoreNotFound(admin.Delete(context.Background(), object)); err != nil {
			t.Error(err)
		}
	})
}

func clusterIn(namespace string) *v1alpha1.ErlangCluster {
	return &v1alpha1.ErlangCluster{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "chat"}}
}

// read reads an object again.
func read[T client.Object](ctx context.Context, object T) (T, error) {
	return object, admin.Get(ctx, client.ObjectKeyFromObject(object), object)
}

// get is read; a failure ends the test.
func get[T client.Object](t *testing.T, object T) T {
	t.Helper()
	return must(read(t.Context(), object))(t)
}

// check ends a test that cannot go on after an error.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must gives a value to a test that cannot go on without it.
func must[V any](value V, err error) func(*testing.T) V {
	return func(t *testing.T) V {
		t.Helper()
		check(t, err)
		return value
	}
}

// eventually polls for two minutes. cert-manager alone pauses for up to 30 s between two tries.
func eventually(t *testing.T, what string, look func(ctx context.Context) error) {
	t.Helper()
	await.Until(t, 2*time.Minute, what, look)
}

// updateStatus changes the status of an object as its controller would, although others may write
// the object meanwhile.
func updateStatus[T client.Object](t *testing.T, object T, change func()) {
	t.Helper()
	check(t, retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		if _, err := read(t.Context(), object); err != nil {
			return err
		}
		change()
		return admin.Status().Update(t.Context(), object)
	}))
}

// awaitCondition waits until a condition of the cluster has a status and a reason, and a
// message that contains these texts, and returns it.
func awaitCondition(t *testing.T, namespace, condition string, status metav1.ConditionStatus, reason string, contains ...string) metav1.Condition {
	t.Helper()
	var found metav1.Condition
	eventually(t, fmt.Sprintf("condition %s=%s, %s", condition, status, reason), func(ctx context.Context) (err error) {
		found, err = findCondition(ctx, namespace, condition, status, reason, contains...)
		return err
	})
	return found
}

// findCondition is awaitCondition without the wait.
func findCondition(ctx context.Context, namespace, condition string, status metav1.ConditionStatus, reason string, contains ...string) (found metav1.Condition, err error) {
	cluster, err := read(ctx, clusterIn(namespace))
	if err != nil {
		return found, err
	}
	c := meta.FindStatusCondition(cluster.Status.Conditions, condition)
	if c == nil {
		return found, fmt.Errorf("it is not there; there are %s", summary(cluster))
	}
	if c.Status != status || c.Reason != reason || c.ObservedGeneration != cluster.Generation {
		return found, fmt.Errorf("there are %s", summary(cluster))
	}
	for _, text := range contains {
		if !strings.Contains(c.Message, text) {
			return found, fmt.Errorf("its message does not contain %q; there are %s", text, summary(cluster))
		}
	}
	return *c, nil
}

func summary(cluster *v1alpha1.ErlangCluster) string {
	parts := make([]string, 0, len(cluster.Status.Conditions))
	for _, c := range cluster.Status.Conditions {
		parts = append(parts, fmt.Sprintf("%s=%s %s (%s)", c.Type, c.Status, c.Reason, c.Message))
	}
	return strings.Join(parts, "; ")
}

// kstatusOf is the status that kstatus, and with it Flux, computes.
func kstatusOf(ctx context.Context, namespace string) (kstatus.Status, error) {
	cluster := &unstructured.Unstructured{}
	cluster.SetGroupVersionKind(v1alpha1.SchemeGroupVersion.WithKind("ErlangCluster"))
	cluster.SetNamespace(namespace)
	cluster.SetName("chat")
	if _, err := read(ctx, cluster); err != nil {
		return "", err
	}
	result, err := kstatus.Compute(cluster)
	if err != nil {
		return "", err
	}
	return result.Status, checkArgoCD(cluster, result.Status)
}

// exists reports whether there is an object of that name.
func exists(ctx context.Context, object client.Object) (bool, error) {
	err := admin.Get(ctx, client.ObjectKeyFromObject(object), object)
	return err == nil, client.IgnoreNotFound(err)
}

func named(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name}
}

// merged is a manifest with a JSON merge patch, written as YAML.
func merged(t *testing.T, base *unstructured.Unstructured, patch string) *unstructured.Unstructured {
	t.Helper()
	original := must(json.Marshal(base.Object))(t)
	change := must(yaml.YAMLToJSON([]byte(patch)))(t)
	text := must(jsonpatch.MergePatch(original, change))(t)
	result := &unstructured.Unstructured{}
	check(t, json.Unmarshal(text, &result.Object))
	return result
}

func patchSpec(t *testing.T, namespace string, edit func(*v1alpha1.ErlangClusterSpec)) {
	t.Helper()
	cluster := get(t, clusterIn(namespace))
	patch := client.MergeFrom(cluster.DeepCopy())
	edit(&cluster.Spec)
	check(t, admin.Patch(t.Context(), cluster, patch))
}

// touch has the manager reconcile a cluster again.
func touch(t *testing.T, cluster *v1alpha1.ErlangCluster) {
	t.Helper()
	patch := client.MergeFrom(get(t, cluster).DeepCopy())
	metav1.SetMetaDataAnnotation(&cluster.ObjectMeta, "touched", time.Now().String())
	check(t, admin.Patch(t.Context(), cluster, patch))
}

// patchTLS changes spec.tls.
func patchTLS(t *testing.T, namespace, patch string) {
	t.Helper()
	check(t, admin.Patch(t.Context(), clusterIn(namespace), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"tls":`+patch+`}}`))))
}

// makeIssuer creates an Issuer of the user's own, with its CA. cert-manager might issue the CA twice,
// with different keys, and the issuer sign with both, one after the other: so it does not issue it.
func makeIssuer(t *testing.T, namespace, name string) {
	t.Helper()
	ca := certstest.NewAuthority(name)
	create(t, &corev1.Secret{ObjectMeta: named(namespace, name), Type: corev1.SecretTypeTLS, Data: map[string][]byte{
		corev1.TLSCertKey: certstest.PEM(ca.Certificate), corev1.TLSPrivateKeyKey: ca.KeyPEM(),
	}})
	create(t, &certmanagerv1.Issuer{ObjectMeta: named(namespace, name), Spec: certmanagerv1.IssuerSpec{
		IssuerConfig: certmanagerv1.IssuerConfig{CA: &certmanagerv1.CAIssuer{SecretName: name}}}})
}

// awaitStalled waits until the cluster is Stalled, not Ready, and failed for kstatus, with
// a message that contains these texts.
func awaitStalled(t *testing.T, namespace, reason string, contains ...string) {
	t.Helper()
	awaitCondition(t, namespace, v1alpha1.ConditionStalled, metav1.ConditionTrue, reason, contains...)
	awaitCondition(t, namespace, v1alpha1.ConditionReady, metav1.ConditionFalse, reason, contains...)
	expectStatus(t, namespace, kstatus.FailedStatus, "somebody has to act")
}

// awaitRecovery waits until the credentials exist and the cluster is not Stalled.
func awaitRecovery(t *testing.T, namespace string) {
	t.Helper()
	awaitCondition(t, namespace, v1alpha1.ConditionCredentialsReady, metav1.ConditionTrue, v1alpha1.ReasonCertificatesIssued)
	awaitNotStalled(t, namespace)
	awaitStatefulSet(t, namespace, 3)
	expectStatus(t, namespace, kstatus.InProgressStatus, "its pods are not there yet")
}

// apply replaces the spec, as a user who edits the manifest and applies it.
func apply(t *testing.T, changed client.Object) {
	t.Helper()
	// The manager and the probe write the status meanwhile.
	check(t, retry.RetryOnConflict(retry.DefaultRetry, func() error {
		current, err := read(t.Context(), clusterIn(changed.GetNamespace()))
		if err != nil {
			return err
		}
		changed.SetResourceVersion(current.ResourceVersion)
		return admin.Update(t.Context(), changed)
	}))
}

func awaitNotStalled(t *testing.T, namespace string) {
	t.Helper()
	eventually(t, "the condition Stalled is removed", func(ctx context.Context) error {
		cluster, err := read(ctx, clusterIn(namespace))
		if err == nil && meta.FindStatusCondition(cluster.Status.Conditions, v1alpha1.ConditionStalled) != nil {
			err = fmt.Errorf("there are %s", summary(cluster))
		}
		return err
	})
}

func cookieOf(t *testing.T, namespace string) string {
	t.Helper()
	return string(get(t, &corev1.Secret{ObjectMeta: named(namespace, "chat-cookie")}).Data["cookie"])
}

// ownedLists are empty lists of the kinds that a cluster owns.
func ownedLists() []client.ObjectList {
	return []client.ObjectList{
		&appsv1.DeploymentList{}, &appsv1.StatefulSetList{}, &certmanagerv1.CertificateList{}, &certmanagerv1.IssuerList{},
		&corev1.ConfigMapList{}, &corev1.SecretList{}, &corev1.ServiceAccountList{}, &corev1.ServiceList{},
		&networkingv1.NetworkPolicyList{}, &policyv1.PodDisruptionBudgetList{}, &rbacv1.RoleBindingList{}, &rbacv1.RoleList{},
	}
}

func certificate(namespace, name string) *certmanagerv1.Certificate {
	return &certmanagerv1.Certificate{ObjectMeta: named(namespace, name)}
}

// settle waits until the manager has sent no request for a while.
func settle(t *testing.T) {
	t.Helper()
	const while = 3 * time.Second
	log, since := requestsOf(t, managerAccount), time.Now()
	eventually(t, "the manager settles", func(context.Context) error {
		requests, err := log.next()
		if err != nil {
			return err
		}
		if len(requests) > 0 {
			since = time.Now()
			return fmt.Errorf("requests: %v", requests)
		}
		if quiet := time.Since(since); quiet < while {
			return fmt.Errorf("no request for %s only", quiet)
		}
		return nil
	})
}

// versions are the resourceVersions of all that the cluster owns.
func versions(t *testing.T, namespace string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, list := range ownedLists() {
		check(t, admin.List(t.Context(), list, client.InNamespace(namespace), client.HasLabels{"erlang-operator.dev/cluster"}))
		items := must(meta.ExtractList(list))(t)
		for _, item := range items {
			object := item.(client.Object)
			all[fmt.Sprintf("%T %s", object, object.GetName())] = object.GetResourceVersion()
		}
	}
	return all
}

func expectStatus(t *testing.T, namespace string, want kstatus.Status, because string) {
	t.Helper()
	if got := must(kstatusOf(t.Context(), namespace))(t); got != want {
		t.Errorf("kstatus is %s, want %s: %s; %s", got, want, because, summary(get(t, clusterIn(namespace))))
	}
}

func awaitStatefulSet(t *testing.T, namespace string, replicas int32) *appsv1.StatefulSet {
	t.Helper()
	set := &appsv1.StatefulSet{ObjectMeta: named(namespace, "chat")}
	eventually(t, fmt.Sprintf("a StatefulSet of %d", replicas), func(ctx context.Context) error {
		cluster, err := read(ctx, clusterIn(namespace))
		if err != nil {
			return err
		}
		if _, err := read(ctx, set); err != nil {
			return fmt.Errorf("%w; conditions: %s", err, summary(cluster))
		}
		if *set.Spec.Replicas != replicas {
			return fmt.Errorf("it has %d; conditions: %s", *set.Spec.Replicas, summary(cluster))
		}
		return nil
	})
	return set
}

func scale(t *testing.T, namespace string, replicas int32) {
	t.Helper()
	cluster := get(t, clusterIn(namespace))
	patch := client.MergeFrom(cluster.DeepCopy())
	cluster.Spec.Replicas = &replicas
	check(t, admin.Patch(t.Context(), cluster, patch))
}

func awaitGone(t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		eventually(t, fmt.Sprintf("%T %s goes", object, object.GetName()), func(ctx context.Context) error {
			there, err := exists(ctx, object)
			if err == nil && there {
				err = fmt.Errorf("it is there")
			}
			return err
		})
	}
}
