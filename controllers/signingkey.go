package controllers

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/podcert"
)

// authority is an intermediate CA with its key.
type authority struct {
	ca  certs.Certificate
	key crypto.Signer
}

// authority is the cluster's intermediate CA with its key: from memory if that has the
// CA as it is in the cache, else read live.
func (s *Signer) authority(ctx context.Context, found podcert.Subject) (authority, error) {
	cluster := client.ObjectKeyFromObject(found.Cluster)
	at := types.NamespacedName{Namespace: cluster.Namespace, Name: naming.Of(found.Cluster, s.Domain).Intermediate()}
	if known, ok := s.authorities.Load(cluster); ok && known.(authority).ca.X509.Equal(found.Intermediate.X509) {
		return known.(authority), nil
	}
	secret := &corev1.Secret{}
	if err := s.Live.Get(ctx, at, secret); err != nil {
		return authority{}, fmt.Errorf("read the key of the intermediate CA: %w", err)
	}
	// Not the text of the error: it may quote the key.
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return authority{}, fmt.Errorf("the Secret %s has no private key that matches its certificate", at)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return authority{}, fmt.Errorf("the key in Secret %s cannot sign", at)
	}
	ca, err := certs.ParseCertificate(secret.Data[corev1.TLSCertKey], secret.Data[naming.AuthorityKey])
	if err != nil {
		return authority{}, fmt.Errorf("read Secret %s: %w", at, err)
	}
	if !ca.X509.Equal(found.Intermediate.X509) {
		return authority{}, errors.New("the intermediate CA has just been renewed")
	}
	read := authority{ca: ca, key: key}
	s.authorities.Store(cluster, read)
	return read, nil
}

// forget drops the key of a deleted cluster.
func (s *Signer) forget(_ context.Context, gone event.DeleteEvent, _ requests) {
	s.authorities.Delete(client.ObjectKeyFromObject(gone.Object))
}

// forgetUnused drops the key of a cluster that does not have its certificates signed any
// more. If a kubelet of a pod that is yet to be replaced requests one, the key is read
// again, until the next change of the cluster.
func (s *Signer) forgetUnused(_ context.Context, updated event.UpdateEvent, _ requests) {
	cluster := updated.ObjectNew.(*unstructured.Unstructured)
	if v1alpha1.StringField(cluster, deliveryField) != string(v1alpha1.DeliveryPodCertificate) {
		s.authorities.Delete(client.ObjectKeyFromObject(cluster))
	}
}
