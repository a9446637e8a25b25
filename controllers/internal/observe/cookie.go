package observe

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// readCookie is one key of a user's Secret at one version, so that it is read live once,
// and not in every pass.
type readCookie struct {
	uid     types.UID
	version string
	key     string
	value   []byte
	found   bool
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
	if err := o.WatchSecrets(); err != nil {
		return fmt.Errorf("watch Secrets: %w", err)
	}
	key := types.NamespacedName{Namespace: observed.Names.Namespace, Name: ref.Name}
	head := SecretMetadata()
	err := o.Secrets.Get(ctx, key, head)
	var read readCookie
	if err == nil {
		read, err = o.readCookie(ctx, client.ObjectKeyFromObject(observed.Cluster), key, ref.Key, head)
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("get Secret %s: %w", key, err)
	}
	observed.UserCookie = &state.UserCookie{Found: true, KeyFound: read.found, Value: read.value}
	return nil
}

// readCookie reads one key of a Secret live, unless it has been read at this version.
func (o *Observer) readCookie(ctx context.Context, cluster, secretName types.NamespacedName, key string, head *metav1.PartialObjectMetadata) (readCookie, error) {
	known, _ := o.cookies.Load(cluster)
	if read, ok := known.(readCookie); ok && read.uid == head.UID && read.version == head.ResourceVersion && read.key == key {
		return read, nil
	}
	var secret corev1.Secret
	if err := o.Live.Get(ctx, secretName, &secret); err != nil {
		return readCookie{}, err
	}
	read := readCookie{uid: secret.UID, version: secret.ResourceVersion, key: key}
	read.value, read.found = secret.Data[key]
	o.cookies.Store(cluster, read)
	return read, nil
}

// Forget drops what is remembered of a deleted cluster.
func (o *Observer) Forget(cluster types.NamespacedName) {
	o.cookies.Delete(cluster)
	o.Heartbeats.forget(cluster)
}

// SecretMetadata is a Secret without its content.
func SecretMetadata() *metav1.PartialObjectMetadata {
	head := &metav1.PartialObjectMetadata{}
	head.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	return head
}

// cookie reads the Secret of the nodes' cookie from the API server if it is not in the cache
// as ours: somebody may have removed its labels or its owner reference. Without either it is
// ours if every node was verified with it.
func (o *Observer) cookie(ctx context.Context, observed *state.State) error {
	name := types.NamespacedName{Namespace: observed.Names.Namespace, Name: observed.Names.CookieSecret()}
	if observed.Secrets[name.Name] != nil {
		return nil
	}
	secret := &corev1.Secret{}
	if err := o.Live.Get(ctx, name, secret); apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("get Secret %s: %w", name, err)
	}
	observed.Secrets[name.Name] = secret
	_, unproven := observed.Unproven()
	proven := observed.Replicas() > 0 && !unproven && metav1.GetControllerOf(secret) == nil
	if !proven && !metav1.IsControlledBy(secret, observed.Cluster) && !plan.Adoptable(observed.Cluster, secret) {
		delete(observed.Secrets, name.Name)
		observed.CookieNameTaken = true
	}
	return nil
}
