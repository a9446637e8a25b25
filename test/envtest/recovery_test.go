package envtest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
)

func TestImportedCookieMissingOrInvalid(t *testing.T) {
	namespace := newNamespace(t)
	startManager(t)
	create(t, merged(t, object(t, namespace, minimal), `spec: {cookie: {secretKeyRef: {name: legacy}}}`))
	awaitStalled(t, namespace, v1alpha1.ReasonCookieSecretNotFound, "cookie.secretKeyRef", namespace+"/legacy", "Create it")

	// First under another key, then with a trailing newline.
	const cookie = "TheCookieOfTheUser"
	secret := &corev1.Secret{ObjectMeta: named(namespace, "legacy"), StringData: map[string]string{"erlang.cookie": cookie}}
	create(t, secret)
	awaitStalled(t, namespace, v1alpha1.ReasonCookieInvalid, `no key "cookie"`)
	secret.StringData = map[string]string{"cookie": cookie + "\n"}
	if err := admin.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	awaitStalled(t, namespace, v1alpha1.ReasonCookieInvalid, "newline")
	secret.StringData = map[string]string{"cookie": cookie}
	if err := admin.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	awaitRecovery(t, namespace)
	if got := cookieOf(t, namespace); got != cookie {
		t.Errorf("the nodes' cookie has %d characters, want the user's of %d", len(got), len(cookie))
	}
	if now := get(t, secret); now.Annotations != nil || len(now.OwnerReferences) > 0 || len(now.Labels) > 0 {
		t.Errorf("the user's Secret was written to: %+v", now.ObjectMeta)
	}

	expectNotShown(t, namespace, cookie)
}

// While nodes run with a cookie that was deleted, no other one is generated.
func TestLostCookie(t *testing.T) {
	namespace := newNamespace(t)
	startManager(t)
	create(t, object(t, namespace, minimal))
	awaitRecovery(t, namespace)
	startPods(t, awaitStatefulSet(t, namespace, 3), 0, 3)
	eventually(t, "the manager has seen the pods, which need the cookie", func(ctx context.Context) error {
		cluster, err := read(ctx, clusterIn(namespace))
		if err == nil && cluster.Status.Replicas != 3 {
			err = fmt.Errorf("it has seen %d", cluster.Status.Replicas)
		}
		return err
	})
	cookie := cookieOf(t, namespace)
	lose := func() {
		t.Helper()
		if err := admin.Delete(t.Context(), &corev1.Secret{ObjectMeta: named(namespace, "chat-cookie")}); err != nil {
			t.Fatal(err)
		}
		awaitStalled(t, namespace, v1alpha1.ReasonCookieLost, "there are pods that use that cookie", "cookie.secretKeyRef", "scale to 0")
	}

	lose()
	taken := &corev1.Secret{ObjectMeta: named(namespace, "chat-cookie"), StringData: map[string]string{"cookie": "AnotherCookie"}}
	create(t, taken)
	touch(t, clusterIn(namespace))
	awaitStalled(t, namespace, v1alpha1.ReasonCookieLost, "`kubectl delete --namespace="+namespace+" secret/chat-cookie`", "there are pods that use the lost cookie")
	check(t, admin.Delete(t.Context(), taken))
	create(t, &corev1.Secret{ObjectMeta: named(namespace, "backup"), StringData: map[string]string{"cookie": cookie}})
	apply(t, merged(t, object(t, namespace, minimal), `spec: {cookie: {secretKeyRef: {name: backup}}}`))
	awaitCondition(t, namespace, v1alpha1.ConditionCredentialsReady, metav1.ConditionTrue, v1alpha1.ReasonCertificatesIssued)
	if cookieOf(t, namespace) != cookie {
		t.Error("the restored cookie is another one")
	}
	apply(t, object(t, namespace, minimal))
	// Once the manager has seen that, it cannot restore the cookie from the backup any more.
	awaitCondition(t, namespace, v1alpha1.ConditionCredentialsReady, metav1.ConditionTrue, v1alpha1.ReasonCertificatesIssued)

	lose()
	scale(t, namespace, 0)
	for ordinal := int32(2); ordinal >= 0; ordinal-- { // One after the other.
		awaitStatefulSet(t, namespace, ordinal)
		pod := &corev1.Pod{ObjectMeta: named(namespace, fmt.Sprintf("chat-%d", ordinal))}
		if err := admin.Delete(t.Context(), pod, client.GracePeriodSeconds(0)); err != nil {
			t.Fatal(err)
		}
	}
	awaitCondition(t, namespace, v1alpha1.ConditionCredentialsReady, metav1.ConditionTrue, v1alpha1.ReasonCertificatesIssued)
	if now := cookieOf(t, namespace); now == cookie || now == "" {
		t.Error("no other cookie was generated")
	}
}

// A cookie whose labels or owner reference are removed stays the cluster's.
func TestCookieWithoutLabelsOrOwner(t *testing.T) {
	namespace := newNamespace(t)
	startManager(t)
	create(t, object(t, namespace, minimal))
	awaitRecovery(t, namespace)
	startPods(t, awaitStatefulSet(t, namespace, 3), 0, 3)
	cookie := cookieOf(t, namespace)
	before := get(t, &corev1.Secret{ObjectMeta: named(namespace, "chat-cookie")})
	for _, patch := range []string{`{"metadata": {"labels": null}}`, `{"metadata": {"ownerReferences": null}}`} {
		if err := admin.Patch(t.Context(), before.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the cookie is as before "+patch, func(ctx context.Context) error {
			now, err := read(ctx, &corev1.Secret{ObjectMeta: named(namespace, "chat-cookie")})
			if err == nil && (!maps.Equal(now.Labels, before.Labels) || !metav1.IsControlledBy(now, clusterOf(before))) {
				err = fmt.Errorf("it is %+v", now.ObjectMeta)
			}
			return err
		})
	}
	if cookieOf(t, namespace) != cookie {
		t.Error("it is another cookie")
	}
}

// A cookie's Secret that is replaced as a whole, with or without its labels and owner, is
// the cluster's once every node is verified with it: the probe takes the nodes over.
func TestReplacedCookieIsKept(t *testing.T) {
	for name, metadata := range map[string]func(*corev1.Secret){
		"the data":   func(*corev1.Secret) {},
		"everything": func(s *corev1.Secret) { s.Labels, s.OwnerReferences = nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			namespace := newNamespace(t)
			create(t, object(t, namespace, minimal))
			startManager(t)
			n, p := startNodes(t, namespace), startProbe(t, namespace)
			n.until(t, p, "at first", n.issuedBy("chat-ca", "chat-ca"))
			secret := get(t, &corev1.Secret{ObjectMeta: named(namespace, "chat-cookie")})
			labels, cluster := secret.Labels, clusterOf(secret)
			secret.Data = map[string][]byte{naming.CookieKey: []byte("ReplacedByHand")}
			metadata(secret)
			check(t, admin.Update(t.Context(), secret))
			// It may be Stalled until the manager has seen that the probe has taken the nodes over.
			n.steps(t, p, 3)
			settle(t)
			n.ready = false
			n.until(t, p, "it is kept", func(ctx context.Context) error {
				now, err := read(ctx, &corev1.Secret{ObjectMeta: named(namespace, "chat-cookie")})
				if err == nil && (!maps.Equal(now.Labels, labels) || !metav1.IsControlledBy(now, cluster) ||
					string(now.Data[naming.CookieKey]) != "ReplacedByHand" || string(now.Data[naming.WrittenCookieKey]) != "ReplacedByHand") {
					err = fmt.Errorf("it is %+v, with %d keys", now.ObjectMeta, len(now.Data))
				}
				return err
			})
		})
	}
}

// clusterOf is the owner of an object, as far as its UID.
func clusterOf(object client.Object) *v1alpha1.ErlangCluster {
	return &v1alpha1.ErlangCluster{ObjectMeta: metav1.ObjectMeta{UID: metav1.GetControllerOf(object).UID}}
}

// expectNotShown requires that a secret is in no log, event, status or ConfigMap.
func expectNotShown(t *testing.T, namespace, secret string) {
	t.Helper()
	if log := tail(fmt.Sprintf("%s/manager-%d.log", scratch, managers.Load()), 1<<20); strings.Contains(log, secret) || !strings.Contains(log, "Status changed") {
		t.Error("the manager's log contains the cookie, or is not its log")
	}
	for _, list := range []client.ObjectList{&corev1.EventList{}, &corev1.ConfigMapList{}, &v1alpha1.ErlangClusterList{}, &appsv1.StatefulSetList{}} {
		if err := admin.List(t.Context(), list, client.InNamespace(namespace)); err != nil {
			t.Fatal(err)
		}
		if meta.LenList(list) == 0 {
			t.Errorf("there is no %T to search", list)
		}
		text, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		if encoded := base64.StdEncoding.EncodeToString([]byte(secret)); strings.Contains(string(text), secret) || strings.Contains(string(text), encoded) {
			t.Errorf("%T contains the cookie", list)
		}
	}
}

func TestIssuerMissingOrNotReady(t *testing.T) {
	namespace := newNamespace(t)
	startManager(t)
	create(t, merged(t, object(t, namespace, minimal), `spec: {tls: {issuerRef: {name: corp}}}`))
	awaitStalled(t, namespace, v1alpha1.ReasonIssuerNotFound, "tls.issuerRef", `"corp"`, "Create it")

	// An issuer that exists and cannot sign, because its CA does not exist yet.
	create(t, &certmanagerv1.Issuer{ObjectMeta: named(namespace, "corp"), Spec: certmanagerv1.IssuerSpec{
		IssuerConfig: certmanagerv1.IssuerConfig{CA: &certmanagerv1.CAIssuer{SecretName: "corp"}}}})
	awaitStalled(t, namespace, v1alpha1.ReasonIssuerNotReady, `"corp" is not ready`, "secret")

	create(t, &certmanagerv1.Issuer{ObjectMeta: named(namespace, "root"), Spec: certmanagerv1.IssuerSpec{
		IssuerConfig: certmanagerv1.IssuerConfig{SelfSigned: &certmanagerv1.SelfSignedIssuer{}}}})
	create(t, &certmanagerv1.Certificate{ObjectMeta: named(namespace, "corp"), Spec: certmanagerv1.CertificateSpec{
		IsCA: true, CommonName: "corp", SecretName: "corp", IssuerRef: certmanagermeta.IssuerReference{Name: "root"}}})
	eventually(t, "the CA of the issuer", func(ctx context.Context) error {
		if err := retryRefused(ctx, certificate(namespace, "corp")); err != nil {
			return err
		}
		_, err := read(ctx, &corev1.Secret{ObjectMeta: named(namespace, "corp")})
		return err
	})
	awaitRecovery(t, namespace)
	if shared := awaitCondition(t, namespace, v1alpha1.ConditionSharedIssuer, metav1.ConditionTrue, "IssuerRefSet"); !strings.Contains(shared.Message, `"corp"`) {
		t.Errorf("the warning of a shared issuer does not name it: %s", shared.Message)
	}
}

// An object of a name that the cluster needs, and that does not belong to it, is not
// changed, and is named in the status.
func TestForeignObjectsAreLeftAlone(t *testing.T) {
	foreign := map[string]struct {
		object  client.Object
		message string
	}{
		"a Secret":    {&corev1.Secret{StringData: map[string]string{"cookie": "NotOurs1"}}, "secret/chat-cookie"},
		"a Service":   {&corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}, "service/chat-nodes"},
		"a ConfigMap": {&corev1.ConfigMap{Data: map[string]string{"of": "somebody"}}, "configmap/chat-distribution"},
		"a node's":    {&corev1.Secret{StringData: map[string]string{"tls.key": "NotOurs2"}}, "secret/chat-0-tls"},
		"a CA's":      {&corev1.Secret{StringData: map[string]string{"tls.key": "NotOurs3"}}, "secret/chat-ca"},
	}
	names := map[string]string{"a Secret": "chat-cookie", "a Service": "chat-nodes", "a ConfigMap": "chat-distribution",
		"a node's": "chat-0-tls", "a CA's": "chat-ca"}
	startManager(t)
	for name, test := range foreign {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // Foreign objects are not watched: half a minute each.
			namespace := newNamespace(t)
			test.object.SetNamespace(namespace)
			test.object.SetName(names[name])
			create(t, test.object)
			before := get(t, test.object).DeepCopyObject().(client.Object)
			create(t, object(t, namespace, minimal))
			awaitStalled(t, namespace, v1alpha1.ReasonNameConflict, "`kubectl delete --namespace="+namespace+" "+test.message+"`", "another name")
			if diff := cmp.Diff(before, get(t, test.object)); diff != "" {
				t.Errorf("it was changed (-before +after):\n%s", diff)
			}
			if err := admin.Delete(t.Context(), test.object); err != nil {
				t.Fatal(err)
			}
			awaitRecovery(t, namespace)
		})
	}
}

// A template that the API server rejects makes the cluster Stalled until it is corrected.
func TestTemplateRejectedByTheAPIServer(t *testing.T) {
	namespace := newNamespace(t)
	startManager(t)
	create(t, merged(t, object(t, namespace, minimal),
		`spec: {template: {spec: {containers: [{name: chat, image: x, volumeMounts: [{name: nothing, mountPath: /data}]}]}}}`))
	awaitStalled(t, namespace, v1alpha1.ReasonRejected, "volumeMounts[0].name", "nothing")
	apply(t, object(t, namespace, minimal))
	awaitRecovery(t, namespace)
}

func TestTemplateConflictsWithTheOperator(t *testing.T) {
	namespace := newNamespace(t)
	startManager(t)
	create(t, merged(t, object(t, namespace, minimal),
		`spec: {template: {spec: {containers: [{name: chat, image: x, env: [{name: ERL_FLAGS, value: "-setcookie oops"}]}]}}}`))
	awaitStalled(t, namespace, v1alpha1.ReasonRejected, "template.spec.containers[chat].env[ERL_FLAGS]", "-setcookie", "Remove it")
	apply(t, object(t, namespace, minimal))
	awaitRecovery(t, namespace)
}

func TestPodIdentityMissing(t *testing.T) {
	for _, gone := range admissionObjects() {
		t.Run(fmt.Sprintf("%T", gone), func(t *testing.T) {
			namespace := newNamespace(t)
			check(t, admin.Delete(t.Context(), gone))
			t.Cleanup(func() { installAdmission(t) })
			startManager(t)
			create(t, object(t, namespace, minimal))
			awaitStalled(t, namespace, v1alpha1.ReasonPodIdentityMissing, memberIdentity, "Install the operator again")
			installAdmission(t)
			awaitRecovery(t, namespace)
			startPods(t, awaitStatefulSet(t, namespace, 3), 0, 1)
		})
	}
}

// A pod that was created without policy or webhook can never start: it is deleted.
func TestPodWithoutIdentityIsReplaced(t *testing.T) {
	namespace := newNamespace(t)
	startManager(t)
	create(t, object(t, namespace, minimal))
	set := awaitStatefulSet(t, namespace, 3)
	pod := podOf(set, 0)
	if pod.Spec.Volumes[0].Name != "erlang-operator-tls" {
		t.Fatalf("the first volume is %s", pod.Spec.Volumes[0].Name)
	}
	withoutAdmission(t, func() {
		if err := admin.Create(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
	})
	if got := pod.Spec.Volumes[0].Secret.SecretName; got != placeholder {
		t.Fatalf("the pod mounts %s although nothing gives it a certificate", got)
	}
	eventually(t, "the pod is deleted", func(ctx context.Context) error {
		now := &corev1.Pod{}
		if err := admin.Get(ctx, client.ObjectKeyFromObject(pod), now); client.IgnoreNotFound(err) != nil {
			return err
		} else if err == nil && now.UID == pod.UID && now.DeletionTimestamp == nil {
			return fmt.Errorf("it is there")
		}
		return nil
	})
}

// Every object of a cluster that is deleted is created again.
func TestDeletedObjectsAreCreatedAgain(t *testing.T) {
	namespace := newNamespace(t)
	startManager(t)
	create(t, object(t, namespace, minimal))
	awaitRecovery(t, namespace)
	settle(t)
	restored := 0
	// Secrets before Certificates: a new Certificate cannot request anything while the
	// requests of the former one exist, and no garbage collector runs here.
	for _, list := range append([]client.ObjectList{&corev1.SecretList{}}, ownedLists()...) {
		if err := admin.List(t.Context(), list, client.InNamespace(namespace), client.HasLabels{"erlang-operator.dev/cluster"}); err != nil {
			t.Fatal(err)
		}
		items, err := meta.ExtractList(list)
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range items {
			lost := item.(client.Object)
			t.Run(fmt.Sprintf("%T %s", lost, lost.GetName()), func(t *testing.T) {
				restored++
				// The manager itself may have deleted it just now: a certificate of the CA before.
				check(t, client.IgnoreNotFound(admin.Delete(t.Context(), lost)))
				awaitAnother(t, lost)
			})
		}
	}
	if restored < 15 {
		t.Errorf("only %d objects were deleted", restored)
	}
	awaitRecovery(t, namespace)
}

// awaitAnother waits until there is another object of the same name, controlled by the
// cluster.
func awaitAnother(t *testing.T, lost client.Object) {
	t.Helper()
	uid := lost.GetUID()
	cluster := get(t, clusterIn(lost.GetNamespace()))
	eventually(t, lost.GetName()+" is created again", func(ctx context.Context) error {
		now := lost.DeepCopyObject().(client.Object)
		if err := admin.Get(ctx, client.ObjectKeyFromObject(lost), now); err != nil {
			return err
		}
		if now.GetUID() == uid {
			return fmt.Errorf("it is still the deleted one")
		}
		if !metav1.IsControlledBy(now, cluster) {
			return fmt.Errorf("the cluster does not control it: %v", now.GetOwnerReferences())
		}
		return nil
	})
}

// A cluster that is created again under its name, while the pods of the former one
// terminate, has lost nothing: it waits for them, and is given a cookie.
func TestRecreatedClusterWaitsForFormerPods(t *testing.T) {
	namespace := newNamespace(t)
	create(t, object(t, namespace, minimal))
	former := &appsv1.StatefulSet{ObjectMeta: named(namespace, "chat")}
	former.UID, former.Spec.Template = "that-of-the-former", get(t, clusterIn(namespace)).Spec.Template
	pod := podOf(former, 0)
	pod.Labels = map[string]string{v1alpha1.Group + "/cluster": "chat", v1alpha1.Group + "/component": "node"}
	create(t, pod)
	startManager(t)
	awaitCondition(t, namespace, v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonProgressing, "pods of a former cluster")
	if err := admin.Delete(t.Context(), pod, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	awaitStatefulSet(t, namespace, 3)
}

// What belongs to a former cluster of the same name is about to be deleted by the garbage
// collector: it is waited for, and nobody has to act.
func TestRecreatedClusterWaitsForFormerObjects(t *testing.T) {
	namespace := newNamespace(t)
	former := &corev1.Secret{ObjectMeta: named(namespace, "chat-cookie")}
	former.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(clusterIn(namespace), v1alpha1.SchemeGroupVersion.WithKind("ErlangCluster"))}
	former.OwnerReferences[0].UID = "that-of-the-former"
	create(t, former)
	create(t, object(t, namespace, minimal))
	startManager(t)
	awaitCondition(t, namespace, v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonProgressing,
		`Secret "chat-cookie" is of a former ErlangCluster of this name`)
	awaitNotStalled(t, namespace)
	check(t, admin.Delete(t.Context(), former))
	awaitRecovery(t, namespace)
}

// A cookie that somebody edits is put back: the nodes run with it. The edited one stays
// beside it for those that have started since.
func TestEditedCookieIsPutBack(t *testing.T) {
	namespace := newNamespace(t)
	create(t, object(t, namespace, minimal))
	startManager(t)
	awaitStatefulSet(t, namespace, 3)
	cookie := cookieOf(t, namespace)
	for _, patch := range []string{`{"data":{"cookie":"VHlwZWRCeUhhbmQ="}}`, `{"data":{"cookie":null}}`} {
		secret := &corev1.Secret{ObjectMeta: named(namespace, "chat-cookie")}
		if err := admin.Patch(t.Context(), secret, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the cookie", func(ctx context.Context) error {
			secret, err := read(ctx, &corev1.Secret{ObjectMeta: named(namespace, "chat-cookie")})
			if err == nil && (string(secret.Data["cookie"]) != cookie || string(secret.Data["previous"]) != "TypedByHand") {
				err = errors.New("the Secret does not hold the cookie of before, and the edited one beside it")
			}
			return err
		})
	}
}
