package controllers

import (
	"bytes"
	"fmt"

	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/certs/memo"
)

// Most objects of a cluster have the same labels and the same owner, and a certificate is in a
// Secret and in a CertificateRequest, its CA in all of them. In the caches each of these is there
// once, as far as it is remembered. Nobody writes to what is in a cache.
var (
	sharedLabels       = memo.Memo[map[string]string]{Size: 4096}
	sharedOwners       = memo.Memo[[]metav1.OwnerReference]{Size: 4096}
	sharedCertificates = memo.Memo[[]byte]{Size: 4096}
	sharedTexts        = memo.Memo[string]{Size: 1024}
)

// maxShared is more than most chains of certificates have. What is remembered stays for a while
// after its objects have gone.
const maxShared = 2 << 10

// shareLabels has an object have the labels that others have.
func shareLabels(object metav1.Object) {
	if labels := object.GetLabels(); len(labels) > 0 {
		object.SetLabels(shared(&sharedLabels, memo.KeyOf(fmt.Append(nil, labels)), labels))
	}
}

// shareOwner has an object have the owner that others have.
func shareOwner(object metav1.Object) {
	if owners := object.GetOwnerReferences(); len(owners) == 1 {
		key := memo.KeyOf([]byte(owners[0].APIVersion), []byte(owners[0].Kind), []byte(owners[0].Name), []byte(owners[0].UID))
		object.SetOwnerReferences(shared(&sharedOwners, key, owners))
	}
}

// shareCertificates has a Secret have the certificates that others have. A key, wherever somebody
// has put it, or a cookie, is not remembered.
func shareCertificates(secret *corev1.Secret) {
	for name, content := range secret.Data {
		secret.Data[name] = sharedCertificate(content)
	}
}

func sharedCertificate(content []byte) []byte {
	if len(content) > maxShared || !bytes.HasPrefix(content, []byte("-----BEGIN CERTIFICATE-----")) || bytes.Contains(content, []byte("PRIVATE")) {
		return content
	}
	return shared(&sharedCertificates, memo.KeyOf(content), content)
}

func shared[V any](known *memo.Memo[V], key memo.Key, value V) V {
	if same, ok := known.Get(key); ok {
		return same
	}
	known.Put(key, value)
	return value
}

// sharedText is for texts of which there are few.
func sharedText(text string) string {
	return shared(&sharedTexts, memo.KeyOf([]byte(text)), text)
}

func sharedIssuer(issuer certmanagermeta.IssuerReference) certmanagermeta.IssuerReference {
	return certmanagermeta.IssuerReference{Name: sharedText(issuer.Name), Kind: sharedText(issuer.Kind), Group: sharedText(issuer.Group)}
}
