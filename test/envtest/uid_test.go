package envtest

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The manager applies with the UID of the object that it has observed. The API server
// rejects that when the object is gone, or is another one.
func TestApplyWithUID(t *testing.T) {
	namespace := newNamespace(t)
	apply := func() error {
		return admin.Apply(t.Context(), applycore.ConfigMap("one", namespace).WithUID("of-a-former-object"), client.FieldOwner("test"), client.ForceOwnership)
	}
	if err := apply(); !apierrors.IsConflict(err) {
		t.Errorf("there is no object: %v, want a conflict", err)
	}
	create(t, &corev1.ConfigMap{ObjectMeta: named(namespace, "one")})
	err := apply()
	cause, ok := apierrors.StatusCause(err, metav1.CauseTypeFieldValueInvalid)
	if !apierrors.IsInvalid(err) || !ok || cause.Field != "metadata.uid" {
		t.Errorf("there is another object: %v, want that metadata.uid is invalid", err)
	}
}
