package controllers

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	acme "github.com/cert-manager/cert-manager/pkg/apis/acme/v1"
	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
)

// Of a Secret of ours neither its key nor a copy of it in an annotation is cached.
func TestNoPrivateKeyIsCached(t *testing.T) {
	for name, ours := range map[string]metav1.ObjectMeta{
		"issued":     {Name: "chat-0-tls", Annotations: map[string]string{certmanager.CertificateNameKey: "chat-0-tls"}},
		"controlled": {Name: "chat-0-tls", OwnerReferences: []metav1.OwnerReference{plan.OwnerReference(chat(1))}},
	} {
		secret := &corev1.Secret{ObjectMeta: ours, Data: map[string][]byte{"tls.crt": []byte("certificate"), "tls.key": []byte("PRIVATE")}}
		metav1.SetMetaDataAnnotation(&secret.ObjectMeta, corev1.LastAppliedConfigAnnotation, "PRIVATE")
		metav1.SetMetaDataAnnotation(&secret.ObjectMeta, "example.com/copy", "PRIVATE")
		got, err := trim(secret)
		if err != nil || string(got.(*corev1.Secret).Data["tls.crt"]) != "certificate" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		for key, value := range got.(*corev1.Secret).Data {
			if strings.Contains(string(value), "PRIVATE") {
				t.Errorf("%s: key %s is cached", name, key)
			}
		}
		if text, _ := json.Marshal(got); strings.Contains(string(text), "PRIVATE") {
			t.Errorf("%s: %s is cached", name, text)
		}
	}
}

// Who has edited the cookie is reported, whatever the editor annotates. The other Secrets are cert-manager's to write.
func TestEditorsOfTheCookieAreCached(t *testing.T) {
	for name, editors := range map[string]int{"chat-cookie": 1, "chat-0-tls": 0} {
		got, err := trim(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name,
			OwnerReferences: []metav1.OwnerReference{plan.OwnerReference(chat(1))},
			Annotations:     map[string]string{certmanager.CertificateNameKey: name},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl-edit", Operation: metav1.ManagedFieldsOperationUpdate,
				FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(`{"f:data":{"f:cookie":{}}}`)}}}})
		if err != nil || len(got.(*corev1.Secret).ManagedFields) != editors {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// That somebody added to an object of ours is cached, however much they added.
func TestLargeAdditionsAreCachedAsAFewBytes(t *testing.T) {
	fields := strings.Builder{}
	for i := range 10_000 {
		fmt.Fprintf(&fields, `,"f:key-%030d":{}`, i)
	}
	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "chat-distribution", OwnerReferences: []metav1.OwnerReference{plan.OwnerReference(chat(1))},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl-patch", Operation: metav1.ManagedFieldsOperationUpdate,
			FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(`{"f:data":{` + fields.String()[1:] + `}}`)}}}}
	for range 2 { // client-go does with what it lists.
		if _, err := trim(config); err != nil || len(config.ManagedFields) != 1 || config.ManagedFields[0].FieldsV1.GetRawString() != `{"f:data":{}}` {
			t.Fatalf("%+v, %v", config.ManagedFields, err)
		}
	}
}

// What keeps a pod that terminates is reported, and a Certificate of ours.
func TestFinalizersOfWhatTerminatesAreCached(t *testing.T) {
	ours := []metav1.OwnerReference{plan.OwnerReference(chat(1))}
	for _, deleted := range []*metav1.Time{nil, {Time: time.Unix(1, 0)}} {
		metadata := metav1.ObjectMeta{Name: "chat-1", Labels: plan.Selector("chat", plan.ComponentNode), DeletionTimestamp: deleted, Finalizers: []string{"example.com/backup"}}
		owned := metadata
		owned.OwnerReferences = ours
		for _, test := range []struct {
			object client.Object
			read   bool
		}{{&corev1.Pod{ObjectMeta: metadata}, true}, {&certmanager.Certificate{ObjectMeta: owned}, true}, {&certmanager.Certificate{ObjectMeta: metadata}, false}} {
			_, err := trim(test.object)
			if cached := len(test.object.GetFinalizers()) > 0; err != nil || cached != (test.read && deleted != nil) {
				t.Errorf("deleted at %v: %+v, %v", deleted, test.object, err)
			}
		}
	}
}

// Whatever has our label and whatever its size: of what is not read little is cached.
func TestLittleIsCachedOfForeignObjects(t *testing.T) {
	large := strings.Repeat("x", 1<<20)
	metadata := metav1.ObjectMeta{Namespace: "shop", Name: "foreign", Labels: map[string]string{plan.LabelCluster: "chat", "l": "x"},
		Annotations: map[string]string{"a": large}, Finalizers: []string{large}, OwnerReferences: []metav1.OwnerReference{{Name: large}}}
	forged := *metadata.DeepCopy()
	forged.OwnerReferences = append(forged.OwnerReferences, plan.OwnerReference(chat(1)))
	pod := corev1.PodSpec{Containers: []corev1.Container{{Env: []corev1.EnvVar{{Name: "E", Value: large}}}},
		Volumes: []corev1.Volume{{Name: large}}, NodeSelector: map[string]string{"n": large}, Tolerations: []corev1.Toleration{{Key: large}},
		HostAliases: []corev1.HostAlias{{IP: large}}}
	list := v1alpha1.NewUnstructured()
	list.SetAnnotations(metadata.Annotations)
	for name, object := range map[string]client.Object{
		"Secret":           &corev1.Secret{ObjectMeta: metadata, Data: map[string][]byte{"tls.crt": []byte(large)}},
		"ConfigMap":        &corev1.ConfigMap{ObjectMeta: metadata, Data: map[string]string{"trust.pem": large}},
		"forged Secret":    &corev1.Secret{ObjectMeta: forged, Data: map[string][]byte{"tls.crt": []byte(large)}},
		"forged ConfigMap": &corev1.ConfigMap{ObjectMeta: forged, Data: map[string]string{"trust.pem": large}, BinaryData: map[string][]byte{"b": []byte(large)}},
		"Pod":              &corev1.Pod{ObjectMeta: metadata, Spec: *pod.DeepCopy()},
		"StatefulSet":      &appsv1.StatefulSet{ObjectMeta: metadata, Spec: appsv1.StatefulSetSpec{Template: corev1.PodTemplateSpec{Spec: *pod.DeepCopy()}}},
		"Deployment":       &appsv1.Deployment{ObjectMeta: metadata, Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: *pod.DeepCopy()}}},
		"Role":             &rbacv1.Role{ObjectMeta: metadata, Rules: []rbacv1.PolicyRule{{Verbs: []string{large}}}},
		"Certificate":      &certmanager.Certificate{ObjectMeta: metadata, Spec: certmanager.CertificateSpec{URIs: []string{large}}},
		"Issuer":           &certmanager.Issuer{ObjectMeta: metadata, Spec: certmanager.IssuerSpec{IssuerConfig: certmanager.IssuerConfig{ACME: &acme.ACMEIssuer{CABundle: []byte(large)}}}},
		"ClusterIssuer":    &certmanager.ClusterIssuer{ObjectMeta: metadata, Spec: certmanager.IssuerSpec{IssuerConfig: certmanager.IssuerConfig{ACME: &acme.ACMEIssuer{CABundle: []byte(large)}}}},
		"metadata":         &metav1.PartialObjectMetadata{ObjectMeta: metadata},
		"ErlangCluster":    list,
	} {
		got, err := trim(object.DeepCopyObject())
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(got)
		if err != nil || len(text) > 2048 {
			t.Errorf("%s: %d bytes are cached, %v", name, len(text), err)
		}
		again, err := trim(got) // client-go does with what it lists.
		if twice, _ := json.Marshal(again); err != nil || string(twice) != string(text) {
			t.Errorf("%s: trimmed twice it is another, %v", name, err)
		}
	}
}
