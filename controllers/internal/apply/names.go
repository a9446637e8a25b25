package apply

import (
	"context"
	"errors"
	"fmt"
	"strings"

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

// A NameConflict is an object that is to be created, but exists and belongs to another
// owner.
type NameConflict struct {
	schema.GroupVersionKind
	Name string
}

func (c NameConflict) Error() string {
	return fmt.Sprintf("%s %q exists and does not belong to this ErlangCluster", c.Kind, c.Name)
}

// A formerObject is one of a former cluster of the same name, which the garbage collector is
// about to delete.
type formerObject struct{ NameConflict }

func (f formerObject) Error() string {
	return fmt.Sprintf("%s %q is of a former ErlangCluster of this name, and is about to be deleted", f.Kind, f.Name)
}

func isFormer(err error) bool {
	former := formerObject{}
	return errors.As(err, &former)
}

// conflict is the error about an object that exists and is not the cluster's.
func conflict(cluster *v1alpha1.ErlangCluster, gvk schema.GroupVersionKind, existing metav1.Object) error {
	found, controller := NameConflict{gvk, existing.GetName()}, metav1.GetControllerOf(existing)
	if controller != nil && controller.APIVersion == v1alpha1.SchemeGroupVersion.String() && controller.Kind == "ErlangCluster" && controller.Name == cluster.Name {
		return formerObject{found}
	}
	return found
}

// Resource is the object as kubectl takes it, and as `kubectl get --output=name` prints it.
func (c NameConflict) Resource() string {
	return strings.ToLower(c.GroupKind().String()) + "/" + c.Name
}

// IsNameConflict reports whether an object of another owner is in the way.
func IsNameConflict(err error) bool { return len(NameConflicts(err)) > 0 }

// NameConflicts are all objects of other owners that an error is about.
func NameConflicts(err error) []NameConflict {
	switch err := err.(type) { //nolint:errorlint // It goes through all that is wrapped.
	case NameConflict:
		return []NameConflict{err}
	case interface{ Unwrap() error }:
		return NameConflicts(err.Unwrap())
	case interface{ Unwrap() []error }:
		var all []NameConflict
		for _, one := range err.Unwrap() {
			all = append(all, NameConflicts(one)...)
		}
		return all
	}
	return nil
}

// errNotObserved is about an object that was not observed as ours: one that has just been
// adopted, or a StatefulSet that the cache does not have yet. The plan was made without it,
// and could have too few replicas. When the cache has it, the cluster is reconciled again.
var errNotObserved = errors.New("the object was not observed")

// checkOthers finds, once an object of another owner is in the way, all others that are:
// where those would be that wait for it, and those that the plan holds back.
func (a *Applier) checkOthers(ctx context.Context, held []plan.Configuration, observed state.State, rejected *rejections) error {
	if !IsNameConflict(rejected) {
		return nil
	}
	for _, configuration := range append(rejected.blocked, held...) {
		err := a.checkNames(ctx, observed, configuration)
		if err := rejected.keep(*configuration.GetKind(), err); err != nil && !errors.Is(err, errNotObserved) {
			return err
		}
	}
	return nil
}

// checkNames finds objects of other owners in the way of a new one.
func (a *Applier) checkNames(ctx context.Context, observed state.State, configuration plan.Configuration) error {
	gvk := schema.FromAPIVersionAndKind(*configuration.GetAPIVersion(), *configuration.GetKind())
	controlled := func(cluster *v1alpha1.ErlangCluster, object metav1.Object) bool {
		return metav1.IsControlledBy(object, cluster)
	}
	err := a.checkName(ctx, gvk, *configuration.GetName(), observed, controlled)
	if err == nil || IsNameConflict(err) {
		err = errors.Join(err, a.checkSecretOf(ctx, observed, configuration))
	}
	return err
}

// checkSecretOf finds a Secret of another owner where that of a Certificate is to be:
// cert-manager would write into it.
func (a *Applier) checkSecretOf(ctx context.Context, observed state.State, configuration plan.Configuration) error {
	certificate, ok := configuration.(*applycertmanager.CertificateApplyConfiguration)
	if !ok {
		return nil
	}
	return a.checkName(ctx, corev1.SchemeGroupVersion.WithKind("Secret"), *certificate.Spec.SecretName, observed, plan.MayTake)
}

func (a *Applier) checkName(ctx context.Context, gvk schema.GroupVersionKind, name string, observed state.State, ours func(*v1alpha1.ErlangCluster, metav1.Object) bool) error {
	existing, err := a.metadata(ctx, gvk, types.NamespacedName{Namespace: observed.Names.Namespace, Name: name})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return err
	case plan.Adoptable(observed.Cluster, existing) && gvk != corev1.SchemeGroupVersion.WithKind("Secret"):
		return a.adopt(ctx, observed.Cluster, existing)
	case !ours(observed.Cluster, existing):
		return conflict(observed.Cluster, gvk, existing)
	case gvk.Kind == "StatefulSet" && existing.Labels[plan.LabelCluster] == observed.Names.Cluster:
		return errNotObserved
	}
	return nil
}

// adopt makes the cluster the controller of an object, and changes nothing else: how the
// object is to be, the next plan decides, with the object among what was observed.
func (a *Applier) adopt(ctx context.Context, cluster *v1alpha1.ErlangCluster, existing *metav1.PartialObjectMetadata) error {
	adopted := existing.DeepCopy()
	adopted.OwnerReferences = append(adopted.OwnerReferences, plan.OwnerReference(cluster))
	patch := client.MergeFromWithOptions(existing, client.MergeFromWithOptimisticLock{})
	if err := a.Client.Patch(ctx, adopted, patch); err != nil {
		return fmt.Errorf("adopt %s %s: %w", existing.Kind, existing.Name, err)
	}
	return errNotObserved
}
