// Package apply carries out a plan. It decides nothing.
package apply

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	applymeta "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/erlang-operator/erlang-operator/certs/memo"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// Applier applies plans.
type Applier struct {
	Client client.Client
	// Live reads objects of other owners, which the caches do not hold.
	Live client.Reader
	// Recorder records on a cluster what its status does not tell.
	Recorder events.EventRecorder

	memories sync.Map // of types.NamespacedName, a cluster's, to memory
	contests sync.Map // of the same, to contests
}

// Apply carries out a plan in its order. What is rejected, or fails at a webhook, holds up
// only what depends on it; any other failure ends it, and the next reconciliation starts
// from the beginning.
func (a *Applier) Apply(ctx context.Context, p plan.Plan, observed state.State) error {
	var rejected rejections
	for _, secret := range p.Create {
		if err := rejected.keep(secret.Kind, a.create(ctx, observed, secret.DeepCopy())); err != nil {
			return err
		}
	}
	for _, secret := range p.Replace {
		if err := rejected.keep(secret.Kind, a.replace(ctx, observed, secret.DeepCopy())); err != nil {
			return err
		}
	}
	remembered := a.remembered(observed)
	if err := a.applyAll(ctx, p.Apply, observed, remembered, &rejected); err != nil {
		return err
	}
	if err := a.checkOthers(ctx, p.Held, observed, &rejected); err != nil {
		return err
	}
	for _, pod := range p.Refresh {
		if err := rejected.keep("Pod", a.refresh(ctx, pod)); err != nil {
			return err
		}
	}
	if err := a.retryAll(ctx, p.Retry, observed, &rejected); err != nil {
		return err
	}
	if p.Release != nil {
		if err := rejected.keep("Lease", a.release(ctx, p.Release)); err != nil {
			return err
		}
	}
	if err := a.deleteAll(ctx, p.Delete, remembered, &rejected); err != nil {
		return err
	}
	return rejected.err()
}

func (a *Applier) release(ctx context.Context, lease *coordinationv1.Lease) error {
	err := a.Client.Update(ctx, lease)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil // The probe has renewed it meanwhile, or the cluster is gone.
	}
	if err != nil {
		return fmt.Errorf("release Lease %s: %w", lease.Name, err)
	}
	log.FromContext(ctx).Info("Lease of a silent probe released", "lease", lease.Name)
	return nil
}

// replace replaces the cookie. One that somebody edits again and again is restored with pauses.
func (a *Applier) replace(ctx context.Context, observed state.State, secret *corev1.Secret) error {
	id, contests, restores := idOf(secret), a.contestsOf(observed), observed.CookieEdited() // The client may drop the kind.
	if restores && observed.Now.Before(contests[id].Again) {
		return nil
	}
	if err := a.Client.Update(ctx, secret); err != nil {
		return fmt.Errorf("replace %s %s: %w", id.kind, id.name, err)
	}
	if restores {
		contests.restored(id, editors(observed.Secrets[id.name]), cookieField, observed.Now)
	}
	return nil
}

func (a *Applier) refresh(ctx context.Context, pod *applycore.PodApplyConfiguration) error {
	// A pod that no longer exists needs no refresh.
	if err := a.Client.Apply(ctx, pod, client.ForceOwnership); err != nil && !IsGone(err) {
		return fmt.Errorf("refresh pod %s: %w", *pod.GetName(), err)
	}
	return nil
}

func (a *Applier) deleteAll(ctx context.Context, objects []state.Object, remembered memory, rejected *rejections) error {
	if !rejected.none(plan.BeforeDeletion()) {
		return nil
	}
	for _, object := range objects {
		id := idOf(object)
		if err := rejected.keep(id.kind, a.delete(ctx, object)); err != nil {
			return err
		}
		delete(remembered, id)
	}
	return nil
}

func idOf(object state.Object) objectID {
	return objectID{object.GetObjectKind().GroupVersionKind().Kind, object.GetName()}
}

// create creates an object once. If it exists and is ours, it stays as it is.
func (a *Applier) create(ctx context.Context, observed state.State, object client.Object) error {
	// The client may fill in the object, and drop its kind.
	gvk, owner := object.GetObjectKind().GroupVersionKind(), metav1.GetControllerOf(object)
	err := a.Client.Create(ctx, object)
	if err == nil {
		return nil
	}
	if !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create %s %s: %w", gvk.Kind, object.GetName(), err)
	}
	existing, err := a.metadata(ctx, gvk, client.ObjectKeyFromObject(object))
	if err != nil {
		return err
	}
	if controller := metav1.GetControllerOf(existing); controller == nil || controller.UID != owner.UID {
		return conflict(observed.Cluster, gvk, existing)
	}
	return nil
}

func (a *Applier) applyAll(ctx context.Context, configurations []plan.Configuration, observed state.State, remembered memory, rejected *rejections) error {
	existing := map[objectID]state.Object{}
	for _, object := range observed.Owned {
		existing[idOf(object)] = object
	}
	secrets, err := a.secretsOf(ctx, configurations, observed)
	if err != nil {
		return err
	}
	for _, configuration := range configurations {
		id := objectID{*configuration.GetKind(), *configuration.GetName()}
		if !rejected.none(plan.Dependencies(id.kind)) || slices.Contains(rejected.unreachable, id.kind) {
			if existing[id] == nil {
				rejected.blocked = append(rejected.blocked, configuration)
			}
			continue
		}
		result, err := remembered[id], checkSecretOf(observed, configuration, secrets)
		if err == nil {
			result, err = a.apply(ctx, observed, configuration, existing[id], remembered[id])
		}
		if err != nil {
			if err := rejected.keep(id.kind, fmt.Errorf("apply %s %s: %w", id.kind, id.name, err)); err != nil {
				return err
			}
			continue
		}
		remembered[id] = result
	}
	return nil
}

// apply applies a configuration, unless that was the last that was applied to the object
// as it is.
func (a *Applier) apply(ctx context.Context, observed state.State, configuration plan.Configuration, existing state.Object, last applied) (applied, error) {
	digest, err := digestOf(configuration)
	if err != nil {
		return last, err
	}
	switch metadata := metadataOf(configuration); {
	case existing != nil:
		// Others may have changed the object between our look at it and our last apply, whose
		// answer then has their content too.
		if isAsApplied(existing, configuration, last, digest) && !isEdited(existing) {
			stamp, _ := markOf(existing)
			return applied{stamp, existing.GetGeneration(), digest}, nil
		}
		// A cache may be so late that the cluster and its objects have been deleted and
		// created anew. With the UID the API server rejects this, where it would otherwise
		// make the new objects those of a deleted cluster, and garbage collect them.
		metadata.UID = ptr.To(existing.GetUID())
		if paused, err := a.takeOver(ctx, observed, existing, last.digest != digest); err != nil || paused {
			return last, err
		}
		err = a.Client.Apply(ctx, configuration, client.ForceOwnership)
	case metadata.UID == nil:
		err = a.applyNew(ctx, observed, configuration)
	default:
		err = a.Client.Apply(ctx, configuration, client.ForceOwnership)
	}
	if errors.Is(err, errNotObserved) {
		return last, nil
	}
	if err != nil {
		return last, err
	}
	// The client has put the answer of the API server into the configuration.
	answer := metadataOf(configuration)
	stamp := stampOfAnswer(answer)
	own.Put(memo.KeyOf([]byte(stamp)), struct{}{})
	return applied{stamp, ptr.Deref(answer.Generation, 0), digest}, nil
}

// noVersion is the resourceVersion of no object. An apply with it creates an object that does
// not exist, and is a conflict for any that exists.
const noVersion = "1"

// applyNew applies a configuration of an object that is not among those that were observed. If
// there is one, it is looked at first: a forced apply would take it over.
func (a *Applier) applyNew(ctx context.Context, observed state.State, configuration plan.Configuration) error {
	metadata := metadataOf(configuration)
	metadata.ResourceVersion = ptr.To(noVersion)
	err := a.Client.Apply(ctx, configuration, client.ForceOwnership)
	if !apierrors.IsConflict(err) {
		return err
	}
	if err := a.checkName(ctx, observed, configuration); err != nil {
		return err
	}
	metadata.ResourceVersion = nil
	return a.Client.Apply(ctx, configuration, client.ForceOwnership)
}

// metadataOf is the metadata of a typed apply configuration. Each of them embeds it, and
// no method that they share gives access to it.
func metadataOf(configuration plan.Configuration) *applymeta.ObjectMetaApplyConfiguration {
	metadata := reflect.ValueOf(configuration).Elem().FieldByName("ObjectMetaApplyConfiguration")
	return metadata.Interface().(*applymeta.ObjectMetaApplyConfiguration)
}

func (a *Applier) metadata(ctx context.Context, gvk schema.GroupVersionKind, key types.NamespacedName) (*metav1.PartialObjectMetadata, error) {
	existing := &metav1.PartialObjectMetadata{}
	existing.SetGroupVersionKind(gvk)
	if err := a.Live.Get(ctx, key, existing); err != nil {
		return nil, fmt.Errorf("get %s %s: %w", gvk.Kind, key.Name, err)
	}
	return existing, nil
}

// delete deletes the object that was observed, no other of its name, and only if it has
// not changed since.
func (a *Applier) delete(ctx context.Context, object state.Object) error {
	uid, version := object.GetUID(), object.GetResourceVersion()
	err := a.Client.Delete(ctx, object.(client.Object), client.Preconditions{UID: &uid, ResourceVersion: &version})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete %s %s: %w", object.GetObjectKind().GroupVersionKind().Kind, object.GetName(), err)
	}
	return nil
}
