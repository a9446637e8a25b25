package controllers

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// The key of an intermediate CA is in memory only while certificates are signed with it.
func TestSignerForgetsUnusedKeys(t *testing.T) {
	chat := client.ObjectKey{Namespace: "shop", Name: "chat"}
	updated := func(delivery v1alpha1.CertificateDelivery) event.UpdateEvent {
		cluster := v1alpha1.NewUnstructured()
		cluster.SetNamespace(chat.Namespace)
		cluster.SetName(chat.Name)
		if err := unstructured.SetNestedField(cluster.Object, string(delivery), "spec", "tls", "delivery"); err != nil {
			t.Fatal(err)
		}
		return event.UpdateEvent{ObjectNew: cluster}
	}
	signer := &Signer{}
	signer.authorities.Store(chat, authority{})

	signer.forgetUnused(t.Context(), updated(v1alpha1.DeliveryPodCertificate), nil)
	if _, known := signer.authorities.Load(chat); !known {
		t.Error("the key of a cluster with delivery PodCertificate was forgotten")
	}
	signer.forgetUnused(t.Context(), updated(v1alpha1.DeliverySecret), nil)
	if _, known := signer.authorities.Load(chat); known {
		t.Error("the key of a cluster with delivery Secret is still in memory")
	}
}
