// Package apply carries out a plan. It decides nothing.
package apply

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	applycertmanager "github.com/cert-manager/cert-manager/pkg/client/applyconfigurations/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// Applier writes what a plan intends.
type Applier struct {
	Client client.Client
	// Live looks for objects that are not ours, which no cache of ours holds.
	Live client.Reader

	memories sync.Map // of types.NamespacedName, a cluster's, to memory
}

// memory is what was applied last to each object of a cluster, by its key. The passes
// for one cluster come one after the other.
type memory map[string]writing

// writing is what was applied, and the version of the object that it made. While
// the object has that version, applying the same again would change nothing, and
// is not asked of the API server.
type writing struct {
	version string
	digest  [sha256.Size]byte
}

// A Conflict is an object that we need to make, and that is there already and
// somebody else's.
type Conflict struct{ Kind, Name string }

func (c Conflict) Error() string {
	return fmt.Sprintf("%s %q exists and does not belong to this ErlangCluster", c.Kind, c.Name)
}

// Apply carries out a plan in its order. The first failure ends it: what follows may
// rest on what failed, and the next pass begins anew.
func (a *Applier) Apply(ctx context.Context, p plan.Plan, observed state.State) error {
	for _, secret := range p.Create {
		if err := a.create(ctx, secret.DeepCopy()); err != nil {
			return err
		}
	}
	for _, secret := range p.Replace {
		if err := a.Client.Update(ctx, secret.DeepCopy()); err != nil {
			return fmt.Errorf("replace %s %s: %w", secret.Kind, secret.Name, err)
		}
	}
	remembered := a.remembered(observed)
	owned := map[string]state.Object{}
	for _, object := range observed.Owned {
		owned[key(object.GetObjectKind().GroupVersionKind().Kind, object.GetName())] = object
	}
	for _, configuration := range p.Apply {
		there := owned[key(*configuration.GetKind(), *configuration.GetName())]
		if err := a.apply(ctx, observed, configuration, there, remembered); err != nil {
			return fmt.Errorf("apply %s %s: %w", *configuration.GetKind(), *configuration.GetName(), err)
		}
	}
	for _, pod := range p.Refresh {
		// Pods come and go: one that went needs nothing any more.
		err := a.Client.Apply(ctx, pod, client.ForceOwnership)
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("refresh pod %s: %w", *pod.GetName(), err)
		}
	}
	for _, object := range p.Delete {
		if err := a.delete(ctx, object); err != nil {
			return err
		}
		delete(remembered, key(object.GetObjectKind().GroupVersionKind().Kind, object.GetName()))
	}
	return nil
}

func (a *Applier) remembered(observed state.State) memory {
	known, _ := a.memories.LoadOrStore(client.ObjectKeyFromObject(observed.Cluster), memory{})
	return known.(memory)
}

// Forget drops what is remembered of a cluster that is gone.
func (a *Applier) Forget(cluster types.NamespacedName) { a.memories.Delete(cluster) }

// create makes an object once. If it is there already and ours, it stays as it is.
func (a *Applier) create(ctx context.Context, object client.Object) error {
	// The client may fill in the object, and drop its kind.
	gvk, owner := object.GetObjectKind().GroupVersionKind(), metav1.GetControllerOf(object)
	err := a.Client.Create(ctx, object)
	if !apierrors.IsAlreadyExists(err) {
		return wrap(err, "create %s %s", gvk.Kind, object.GetName())
	}
	there, err := a.look(ctx, gvk, client.ObjectKeyFromObject(object))
	if err != nil {
		return err
	}
	if controller := metav1.GetControllerOf(there); controller == nil || controller.UID != owner.UID {
		return Conflict{gvk.Kind, object.GetName()}
	}
	return nil
}

// apply makes an object as configured, unless that is what it is. An object that
// is not among ours is looked for first: a forced apply would take it over.
func (a *Applier) apply(ctx context.Context, observed state.State, configuration plan.Configuration, there state.Object, remembered memory) error {
	object := key(*configuration.GetKind(), *configuration.GetName())
	text, err := json.Marshal(configuration)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(text)
	switch {
	case there != nil:
		// The digest has the cluster's UID in it: what a namesake had is not mistaken for this.
		if remembered[object] == (writing{there.GetResourceVersion(), digest}) {
			return nil
		}
		bind(configuration, there.GetUID())
	case !adopts(text):
		if err := a.refuseForeign(ctx, observed, configuration); err != nil {
			return err
		}
	}
	if err := a.Client.Apply(ctx, configuration, client.ForceOwnership); err != nil {
		return err
	}
	remembered[object] = writing{made(configuration), digest}
	return nil
}

// bind restricts a configuration to the very object that was seen. A cache may be
// so far behind that the cluster, and all that it owned, has gone since, and a
// namesake of it has come: the API server refuses then, where it would otherwise
// make the namesake's objects those of a cluster that is gone, and collect them.
func bind(configuration plan.Configuration, uid types.UID) {
	// Every typed apply configuration has this method, each with a type of its own.
	reflect.ValueOf(configuration).MethodByName("WithUID").Call([]reflect.Value{reflect.ValueOf(uid)})
}

// adopts says that a configuration is bound to the very object that was seen.
func adopts(text []byte) bool {
	var object metav1.PartialObjectMetadata
	return json.Unmarshal(text, &object) == nil && object.UID != ""
}

// refuseForeign finds what is there already of that name and somebody else's. Into the
// Secret of a new Certificate cert-manager would write, whoever's that is.
func (a *Applier) refuseForeign(ctx context.Context, observed state.State, configuration plan.Configuration) error {
	gvk := schema.FromAPIVersionAndKind(*configuration.GetAPIVersion(), *configuration.GetKind())
	if err := a.refuse(ctx, gvk, *configuration.GetName(), observed, controls); err != nil {
		return err
	}
	if certificate, ok := configuration.(*applycertmanager.CertificateApplyConfiguration); ok {
		return a.refuse(ctx, corev1.SchemeGroupVersion.WithKind("Secret"), *certificate.Spec.SecretName, observed, plan.Owns)
	}
	return nil
}

func controls(cluster *v1alpha1.ErlangCluster, object metav1.Object) bool {
	return metav1.IsControlledBy(object, cluster)
}

func (a *Applier) refuse(ctx context.Context, gvk schema.GroupVersionKind, name string, observed state.State, unless func(*v1alpha1.ErlangCluster, metav1.Object) bool) error {
	there, err := a.look(ctx, gvk, types.NamespacedName{Namespace: observed.Names.Namespace, Name: name})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return err
	case !unless(observed.Cluster, there):
		return Conflict{gvk.Kind, name}
	}
	return nil
}

func (a *Applier) look(ctx context.Context, gvk schema.GroupVersionKind, at types.NamespacedName) (*metav1.PartialObjectMetadata, error) {
	there := &metav1.PartialObjectMetadata{}
	there.SetGroupVersionKind(gvk)
	if err := a.Live.Get(ctx, at, there); err != nil {
		return nil, fmt.Errorf("look for %s %s: %w", gvk.Kind, at.Name, err)
	}
	return there, nil
}

// made is the version of the object that the API server answered with.
func made(configuration plan.Configuration) string {
	text, err := json.Marshal(configuration)
	if err != nil {
		return ""
	}
	var object metav1.PartialObjectMetadata
	if json.Unmarshal(text, &object) != nil {
		return ""
	}
	return object.ResourceVersion
}

// delete removes the object that was seen, and no other of its name, and only if
// nobody has changed it since.
func (a *Applier) delete(ctx context.Context, object state.Object) error {
	uid, version := object.GetUID(), object.GetResourceVersion()
	err := a.Client.Delete(ctx, object.(client.Object), client.Preconditions{UID: &uid, ResourceVersion: &version})
	return wrap(client.IgnoreNotFound(err), "delete %s %s", object.GetObjectKind().GroupVersionKind().Kind, object.GetName())
}

// Refused tells errors that somebody has to mend from those that pass.
func Refused(err error) bool {
	return Foreign(err) || apierrors.IsInvalid(err) && !outdated(err) || apierrors.IsForbidden(err)
}

// outdated says that the object is not the one that was seen. The next pass sees
// another.
func outdated(err error) bool {
	cause, ok := apierrors.StatusCause(err, metav1.CauseTypeFieldValueInvalid)
	return ok && cause.Field == "metadata.uid"
}

// Foreign says that an object of somebody else's is in the way.
func Foreign(err error) bool {
	var conflict Conflict
	return errors.As(err, &conflict)
}

func wrap(err error, doing string, about ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(doing+": %w", append(about, err)...)
}

func key(parts ...string) string { return strings.Join(parts, "/") }
