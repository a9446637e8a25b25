package controllers

import (
	"reflect"
	"strings"
	"testing"
	"unsafe"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/certs/memo"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
)

// Pods and CertificateRequests have the labels of a cluster, and another owner.
func TestLabelsAreShared(t *testing.T) {
	for name, of := range map[string]func(metav1.ObjectMeta) client.Object{
		"Pod":                func(m metav1.ObjectMeta) client.Object { return &corev1.Pod{ObjectMeta: m} },
		"CertificateRequest": func(m metav1.ObjectMeta) client.Object { return &certmanager.CertificateRequest{ObjectMeta: m} },
	} {
		var labels []uintptr
		for range 2 {
			object := of(metav1.ObjectMeta{Name: "chat-0", Labels: plan.Selector("chat", plan.ComponentNode)})
			if _, err := trim(object); err != nil {
				t.Fatal(err)
			}
			labels = append(labels, reflect.ValueOf(object.GetLabels()).Pointer())
		}
		if labels[0] != labels[1] {
			t.Errorf("equal labels of a %s are there twice", name)
		}
	}
}

// What the objects of a cluster have in common is in memory once. Keys and cookies are not
// remembered, wherever they are.
func TestCommonContentsAreShared(t *testing.T) {
	const begin = "-----BEGIN CERTIFICATE-----\n"
	cached := func(contents ...string) *corev1.Secret {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "chat-0-tls", Labels: map[string]string{plan.LabelCluster: "chat"},
			OwnerReferences: []metav1.OwnerReference{plan.OwnerReference(chat(1))}}, Data: map[string][]byte{}}
		for i, name := range []string{"tls.crt", "ca.crt", "cookie"} {
			secret.Data[name] = []byte(contents[i])
		}
		if _, err := trim(secret); err != nil {
			t.Fatal(err)
		}
		return secret
	}
	key := begin + "-----BEGIN EC PRIVATE KEY-----\n"
	one, two := cached(begin+"a", key, "TheCookie"), cached(begin+"a", begin+"b", "TheCookie")
	if unsafe.SliceData(one.Data["tls.crt"]) != unsafe.SliceData(two.Data["tls.crt"]) {
		t.Error("equal certificates are there twice")
	}
	if &one.OwnerReferences[0] != &two.OwnerReferences[0] {
		t.Error("an owner is there twice")
	}
	if string(one.Data["tls.crt"]) != begin+"a" || string(two.Data["ca.crt"]) != begin+"b" || one.Labels[plan.LabelCluster] != "chat" {
		t.Error("contents are mixed up")
	}
	for _, secret := range []string{key, "TheCookie", begin + strings.Repeat("c", maxShared)} {
		sharedCertificate([]byte(secret))
		if _, remembered := sharedCertificates.Get(memo.KeyOf([]byte(secret))); remembered {
			t.Errorf("%.60q is remembered", secret)
		}
	}
}
