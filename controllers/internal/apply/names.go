package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	found, controller := NameConflict{gvk, existing.GetName()}, v1alpha1.ControllerOf(existing)
	if controller != nil && controller.Name == cluster.Name {
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
	all := slices.Concat(rejected.blocked, held)
	secrets, err := a.secretsOf(ctx, all, observed)
	if err != nil {
		return err
	}
	for _, configuration := range all {
		err := errors.Join(a.checkName(ctx, observed, configuration), checkSecretOf(observed, configuration, secrets))
		if err := rejected.keep(*configuration.GetKind(), err); err != nil && !errors.Is(err, errNotObserved) {
			return err
		}
	}
	return nil
}

// checkSecretOf finds a Secret of another owner where that of a Certificate is to be:
// cert-manager would write into it.
func checkSecretOf(observed state.State, configuration plan.Configuration, secrets secrets) error {
	certificate, ok := configuration.(*applycertmanager.CertificateApplyConfiguration)
	if !ok {
		return nil
	}
	existing := secrets[*certificate.Spec.SecretName]
	if existing == nil || plan.MayTake(observed.Cluster, existing) {
		return nil
	}
	return conflict(observed.Cluster, secretKind, existing)
}

var secretKind = corev1.SchemeGroupVersion.WithKind("Secret")

// maxListed is how many Secrets one answer has at most.
const maxListed = 500

// secrets are the metadata of those that exist, by name.
type secrets map[string]*metav1.PartialObjectMetadata

// secretsOf lists those that exist where the new ones of some Certificates are to be. One
// request costs less than one for each.
func (a *Applier) secretsOf(ctx context.Context, configurations []plan.Configuration, observed state.State) (secrets, error) {
	wanted := secrets{}
	for _, configuration := range configurations {
		if certificate, ok := configuration.(*applycertmanager.CertificateApplyConfiguration); ok && !slices.ContainsFunc(observed.Owned, func(object state.Object) bool {
			return idOf(object) == objectID{"Certificate", *certificate.GetName()}
		}) {
			wanted[*certificate.Spec.SecretName] = nil
		}
	}
	if len(wanted) == 0 {
		return nil, nil
	}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(secretKind)
	for {
		if err := a.Live.List(ctx, list, client.InNamespace(observed.Names.Namespace), client.Limit(maxListed), client.Continue(list.Continue)); err != nil {
			return nil, fmt.Errorf("list Secrets: %w", err)
		}
		for i := range list.Items {
			if _, ok := wanted[list.Items[i].Name]; ok {
				wanted[list.Items[i].Name] = list.Items[i].DeepCopy()
			}
		}
		if list.Continue == "" {
			return wanted, nil
		}
	}
}

// checkName finds an object of another owner in the way of a new one.
func (a *Applier) checkName(ctx context.Context, observed state.State, configuration plan.Configuration) error {
	gvk := schema.FromAPIVersionAndKind(*configuration.GetAPIVersion(), *configuration.GetKind())
	existing, err := a.metadata(ctx, gvk, types.NamespacedName{Namespace: observed.Names.Namespace, Name: *configuration.GetName()})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return err
	case plan.Adoptable(observed.Cluster, existing):
		return a.adopt(ctx, observed.Cluster, existing)
	case !metav1.IsControlledBy(existing, observed.Cluster):
		return conflict(observed.Cluster, gvk, existing)
	case gvk.Kind == "StatefulSet" && existing.Labels[plan.LabelCluster] == observed.Names.Cluster:
		return errNotObserved
	}
	return nil
}

// adopt makes the cluster the controller of an object, in place of a reference that says that it is
// not, and changes nothing else: how the object is to be, the next plan decides, with the object
// among what was observed.
func (a *Applier) adopt(ctx context.Context, cluster *v1alpha1.ErlangCluster, existing *metav1.PartialObjectMetadata) error {
	adopted := existing.DeepCopy()
	adopted.OwnerReferences = append(slices.DeleteFunc(adopted.OwnerReferences, func(owner metav1.OwnerReference) bool {
		return owner.UID == cluster.UID
	}), plan.OwnerReference(cluster))
	patch := client.MergeFromWithOptions(existing, client.MergeFromWithOptimisticLock{})
	if err := a.Client.Patch(ctx, adopted, patch); err != nil {
		return fmt.Errorf("adopt %s %s: %w", existing.Kind, existing.Name, err)
	}
	return errNotObserved
}
