package envtest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	applycertmanager "github.com/cert-manager/cert-manager/pkg/client/applyconfigurations/certmanager/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers"
	"github.com/erlang-operator/erlang-operator/test/await"
)

// cert-manager now and then refuses a new CA, because its caches are late: they have another key than
// that of the request. By itself it would try again after an hour. A Certificate with the cluster's labels
// that the cluster does not control is left to it.
func TestRefusedCAIsIssuedWithinSeconds(t *testing.T) {
	namespace := newNamespace(t)
	giveAnotherKey(t, namespace)
	foreign := certificate(namespace, "chat-foreign")
	foreign.Labels = map[string]string{"erlang-operator.dev/cluster": "chat"}
	foreign.Spec = certmanagerv1.CertificateSpec{CommonName: "foreign", SecretName: foreign.Name,
		IssuerRef: certmanagermeta.IssuerReference{Name: "chat-selfsigned"}}
	create(t, foreign)
	create(t, object(t, namespace, minimal))

	// While no manager runs, only cert-manager could try again.
	m, ca := startManager(t), certificate(namespace, "chat-ca")
	eventually(t, "the CA is requested", func(ctx context.Context) error {
		_, err := read(ctx, ca)
		return err
	})
	m.stop(t)
	failures := awaitRefused(t, ca)
	stale := ca.DeepCopy()
	awaitRefused(t, foreign)
	removeAnotherKey(t, namespace)

	log := requestsOf(t, managerAccount)
	startManager(t)
	seen := failures
	// On a slow machine the first manager has retried already, and cert-manager may refuse a retried CA too.
	await.Until(t, 5*time.Minute, "the CA is issued", func(ctx context.Context) error {
		now, err := read(ctx, certificate(namespace, "chat-ca"))
		if err != nil {
			return err
		}
		seen = max(seen, ptr.Deref(now.Status.FailedIssuanceAttempts, 0)) // A second failure is there for a minute.
		return admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "chat-ca"}, &corev1.Secret{})
	})
	awaitRecovery(t, namespace)
	expectStaleRefused(t, stale)
	eventually(t, "the Certificate of the CA tells so", func(ctx context.Context) error {
		if now, err := read(ctx, ca); err != nil || now.Status.LastFailureTime != nil || now.Status.Revision == nil {
			return fmt.Errorf("it has %+v: %w", ca.Status, err)
		}
		return nil
	})
	if issuing := awaitRefused(t, foreign); issuing != 1 {
		t.Errorf("the Certificate of another owner was retried: it failed %d times", issuing)
	}
	retries := 0
	for _, r := range must(log.next())(t) {
		if r.ObjectRef.Namespace == namespace && r.ObjectRef.Resource == "certificates" && r.ObjectRef.Name == ca.Name && r.ObjectRef.Subresource != "" && r.ResponseStatus.Code < 300 {
			retries++
		}
	}
	if want := seen - failures + 1; retries != want {
		t.Errorf("the manager wrote %d times into the status of the Certificate, want once for each failure from number %d to %d", retries, failures, seen)
	}
	eventually(t, "an event tells so", func(ctx context.Context) error {
		var events eventsv1.EventList
		err := admin.List(ctx, &events, client.InNamespace(namespace))
		if err == nil && !slices.ContainsFunc(events.Items, func(event eventsv1.Event) bool {
			return event.Reason == v1alpha1.ReasonCertificateRetried &&
				strings.HasPrefix(event.Note, "cert-manager could not issue certificate chat-ca, and tries again now: ")
		}) {
			err = fmt.Errorf("there are %d others", len(events.Items))
		}
		return err
	})
}

// A manager whose cache is late would retry a failure again: the API server refuses that.
func expectStaleRefused(t *testing.T, stale *certmanagerv1.Certificate) {
	t.Helper()
	again := applycertmanager.Certificate(stale.Name, stale.Namespace).WithUID(stale.UID).WithResourceVersion(stale.ResourceVersion).
		WithStatus(applycertmanager.CertificateStatus().WithConditions(applycertmanager.CertificateCondition().
			WithType(certmanagerv1.CertificateConditionIssuing).WithStatus(certmanagermeta.ConditionTrue)))
	if err := admin.Status().Apply(t.Context(), again, client.ForceOwnership, client.FieldOwner(controllers.FieldOwner)); !apierrors.IsConflict(err) {
		t.Errorf("a second retry of the same failure: %v, want a conflict", err)
	}
}

// What fails again is retried after a pause, and reported as refused.
func TestCAThatIsRefusedAgainIsReported(t *testing.T) {
	namespace := newNamespace(t)
	giveAnotherKey(t, namespace)
	startManager(t)
	create(t, object(t, namespace, minimal))
	awaitCondition(t, namespace, v1alpha1.ConditionCredentialsReady, metav1.ConditionFalse, v1alpha1.ReasonCertificateRefused,
		"could not issue certificate chat-ca", "CSR not signed by referenced private key", "It is to try again at ")
	ca := certificate(namespace, "chat-ca")
	if failures := awaitRefused(t, ca); failures < 2 {
		t.Errorf("it is reported as refused after %d failures", failures)
	}
}

// A failure that cert-manager would wait for until 2099 is retried as any other.
func TestFailureInTheFutureIsRetried(t *testing.T) {
	namespace := newNamespace(t)
	m := startManager(t)
	create(t, object(t, namespace, minimal))
	awaitSecret := func() {
		t.Helper()
		await.Until(t, 3*time.Minute, "the Secret of a node", func(ctx context.Context) error {
			return admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "chat-1-tls"}, &corev1.Secret{})
		})
	}
	awaitSecret()
	failed := certificate(namespace, "chat-1-tls")
	// cert-manager issues a certificate twice now and then, because it learns of the Secret too late.
	eventually(t, "it is issued", func(ctx context.Context) error {
		now, err := read(ctx, failed)
		if err != nil || now.Status.Revision == nil || slices.ContainsFunc(now.Status.Conditions, isIssuing) {
			return fmt.Errorf("it has %+v: %w", failed.Status, err)
		}
		return nil
	})
	m.stop(t)
	check(t, admin.Status().Patch(t.Context(), failed, client.RawPatch(types.MergePatchType, []byte(
		`{"status":{"lastFailureTime":"2099-01-01T00:00:00Z","failedIssuanceAttempts":1,"conditions":[
			{"type":"Issuing","status":"False","reason":"Failed","message":"forged","lastTransitionTime":"2099-01-01T00:00:00Z"}]}}`))))
	check(t, admin.Delete(t.Context(), &corev1.Secret{ObjectMeta: named(namespace, "chat-1-tls")}))
	startManager(t)
	awaitSecret()
}

func isIssuing(condition certmanagerv1.CertificateCondition) bool {
	return condition.Type == certmanagerv1.CertificateConditionIssuing && condition.Status == certmanagermeta.ConditionTrue
}

// awaitRefused waits until cert-manager has refused a Certificate for its key, and counts how often.
func awaitRefused(t *testing.T, certificate *certmanagerv1.Certificate) (failures int) {
	t.Helper()
	eventually(t, "cert-manager refuses "+certificate.Name, func(ctx context.Context) error {
		if _, err := read(ctx, certificate); err != nil {
			return err
		}
		for _, condition := range certificate.Status.Conditions {
			if condition.Type == certmanagerv1.CertificateConditionIssuing && condition.Status == certmanagermeta.ConditionFalse &&
				strings.Contains(condition.Message, "CSR not signed by referenced private key") {
				failures = *certificate.Status.FailedIssuanceAttempts
				return nil
			}
		}
		return fmt.Errorf("it has %+v", certificate.Status)
	})
	return failures
}

// retryRefused has cert-manager issue a Certificate of its selfSigned issuer again, if that has refused
// it. The manager does so only for the Certificates of its clusters, and cert-manager waits for an hour.
func retryRefused(ctx context.Context, certificate *certmanagerv1.Certificate) error {
	if _, err := read(ctx, certificate); err != nil || certificate.Status.LastFailureTime == nil || slices.ContainsFunc(certificate.Status.Conditions, isIssuing) {
		return err
	}
	patch := client.MergeFromWithOptions(certificate.DeepCopy(), client.MergeFromWithOptimisticLock{})
	certificate.Status.Conditions = []certmanagerv1.CertificateCondition{{Type: certmanagerv1.CertificateConditionIssuing,
		Status: certmanagermeta.ConditionTrue, Reason: "ManuallyTriggered",
		// cert-manager takes an earlier failure, by whole seconds, for one of the issuance before.
		LastTransitionTime: &metav1.Time{Time: certificate.Status.LastFailureTime.Add(time.Second)}}}
	return admin.Status().Patch(ctx, certificate, patch)
}

const privateKeyOf = certmanagerv1.CertificateRequestPrivateKeyAnnotationKey

// giveAnotherKey has self-signed certificates of a namespace signed with another key than the one that
// they are requested for.
func giveAnotherKey(t *testing.T, namespace string) {
	t.Helper()
	if !served.AdmissionPolicies {
		t.Skip("this Kubernetes has no MutatingAdmissionPolicies")
	}
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))(t)})
	create(t, &corev1.Secret{ObjectMeta: named(namespace, "another-key"), Data: map[string][]byte{corev1.TLSPrivateKeyKey: text}})
	create(t, &admissionv1.MutatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: namespace}, Spec: admissionv1.MutatingAdmissionPolicySpec{
		ReinvocationPolicy: admissionv1.NeverReinvocationPolicy,
		MatchConstraints: &admissionv1.MatchResources{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
			ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
				Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule:       admissionv1.Rule{APIGroups: []string{"cert-manager.io"}, APIVersions: []string{"v1"}, Resources: []string{"certificaterequests"}}}}},
		},
		Mutations: []admissionv1.Mutation{{PatchType: admissionv1.PatchTypeJSONPatch, JSONPatch: &admissionv1.JSONPatch{Expression: fmt.Sprintf(
			`[JSONPatch{op: "replace", path: "/metadata/annotations/" + jsonpatch.escapeKey(%q), value: "another-key"}]`, privateKeyOf)}}},
	}})
	create(t, &admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: namespace},
		Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: namespace}})
	awaitKey(t, namespace, "another-key")
}

func removeAnotherKey(t *testing.T, namespace string) {
	t.Helper()
	remove(t, &admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	awaitKey(t, namespace, "its-own")
}

// awaitKey waits until a request for the key "its-own" would be signed with that key.
func awaitKey(t *testing.T, namespace, want string) {
	t.Helper()
	eventually(t, "requests are signed with the key "+want, func(ctx context.Context) error {
		trial := &certmanagerv1.CertificateRequest{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "trial", Annotations: map[string]string{privateKeyOf: "its-own"}},
			Spec:       certmanagerv1.CertificateRequestSpec{Request: []byte("trial"), IssuerRef: certmanagermeta.IssuerReference{Name: "trial"}}}
		if err := admin.Create(ctx, trial, client.DryRunAll); err != nil {
			return err
		}
		if got := trial.Annotations[privateKeyOf]; got != want {
			return fmt.Errorf("a request is signed with %s", got)
		}
		return nil
	})
}
