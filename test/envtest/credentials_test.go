package envtest

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

func TestCredentialsComeToExist(t *testing.T) {
	namespace := newNamespace(t)
	startManager(t)
	create(t, object(t, namespace, minimal))
	awaitCondition(t, namespace, v1alpha1.ConditionCredentialsReady, metav1.ConditionTrue, v1alpha1.ReasonCertificatesIssued)
}
