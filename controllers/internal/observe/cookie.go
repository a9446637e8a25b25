package observe

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// readCookie is the content of a user's Secret at one version, so that it is read live
// once, and not in every pass.
type readCookie struct {
	uid     types.UID
	version string
	data    map[string][]byte
}

// userCookie reads the Secret that cookie.secretKeyRef names. Its version comes from a
// watch on the metadata of Secrets; only a new version is read.
func (o *Observer) userCookie(ctx context.Context, observed *state.State) error {
	ref := observed.Cluster.Spec.Cookie.SecretKeyRef
	if ref == nil {
		o.cookies.Delete(client.ObjectKeyFromObject(observed.Cluster))
		return nil
	}
	observed.UserCookie = &state.UserCookie{}
	key := types.NamespacedName{Namespace: observed.Names.Namespace, Name: ref.Name}
	head := SecretMetadata()
	err := o.Secrets.Get(ctx, key, head)
	var data map[string][]byte
	if err == nil {
		data, err = o.secretData(ctx, client.ObjectKeyFromObject(observed.Cluster), key, head)
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("get Secret %s: %w", key, err)
	}
	observed.UserCookie.Found = true
	observed.UserCookie.Value, observed.UserCookie.KeyFound = data[ref.Key]
	return nil
}

func (o *Observer) secretData(ctx context.Context, cluster, key types.NamespacedName, head *metav1.PartialObjectMetadata) (map[string][]byte, error) {
	if known, ok := o.cookies.Load(cluster); ok {
		if read := known.(readCookie); read.uid == head.UID && read.version == head.ResourceVersion {
			return read.data, nil
		}
	}
	var secret corev1.Secret
	if err := o.Live.Get(ctx, key, &secret); err != nil {
		return nil, err
	}
	o.cookies.Store(cluster, readCookie{uid: secret.UID, version: secret.ResourceVersion, data: secret.Data})
	return secret.Data, nil
}

// Forget drops what is remembered of a deleted cluster.
func (o *Observer) Forget(cluster types.NamespacedName) {
	o.cookies.Delete(cluster)
	o.heartbeats.Delete(cluster)
}

// SecretMetadata is a Secret without its content.
func SecretMetadata() *metav1.PartialObjectMetadata {
	head := &metav1.PartialObjectMetadata{}
	head.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	return head
}
