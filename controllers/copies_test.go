package controllers

import (
	"testing"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A copy of a Secret of ours, as a user makes it for a backup, has the labels and annotations
// of the original but no owner. It belongs to the user, and stays.
func TestCopiesOfSecretsStay(t *testing.T) {
	w := newSimulation(chat(1))
	settle(t, w)
	var original corev1.Secret
	must(w.present.Get(t.Context(), types.NamespacedName{Namespace: "shop", Name: "chat-0-tls"}, &original))
	if original.Annotations[certmanager.CertificateNameKey] != "chat-0-tls" {
		t.Fatalf("the original has the annotations %v", original.Annotations)
	}
	backup := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "backup", Labels: original.Labels, Annotations: original.Annotations},
		Data:       original.Data,
	}
	must(w.present.Create(t.Context(), backup))
	settle(t, w)
	var after corev1.Secret
	if err := w.present.Get(t.Context(), types.NamespacedName{Namespace: "shop", Name: "backup"}, &after); err != nil {
		t.Fatalf("the copy: %v", err)
	}
	if len(after.OwnerReferences) > 0 || after.ResourceVersion != backup.ResourceVersion {
		t.Errorf("the copy was written to: %+v", after.ObjectMeta)
	}
}
