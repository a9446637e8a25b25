package plan

import (
	"cmp"
	"maps"
	"slices"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	applymeta "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/rotation"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// Operator is what the manager knows of itself.
type Operator struct {
	// Image that holds the probe: the operator's own.
	Image string
	// ImagePullPolicy of the probe.
	ImagePullPolicy corev1.PullPolicy
	// Domain of the Kubernetes cluster's DNS.
	Domain string
}

// A Plan is all that one pass intends to do.
type Plan struct {
	// Create is made when it is not there, and left as it is when it is: the cookie.
	Create []*corev1.Secret
	// Replace what is still what was seen: a cookie, when another one is asked for.
	Replace []*corev1.Secret
	// Apply, in order of dependency.
	Apply []Configuration
	// Delete what is ours and no longer wanted, if it is still what was seen.
	Delete []state.Object
	// Refresh are pods whose kubelet should look at their files now.
	Refresh []*applycore.PodApplyConfiguration
	// Holds are what is deliberately not done yet, and why.
	Holds []Hold
	// Problems are what somebody has to mend before the rest can be done.
	Problems []Problem
}

// Configuration is a typed apply configuration of an object.
type Configuration interface {
	IsApplyConfiguration()
	GetName() *string
	GetNamespace() *string
	GetKind() *string
	GetAPIVersion() *string
}

// A Hold is something that waits, and the reason.
type Hold struct {
	Reason  string
	Message string
}

// A Problem is something that waits for a person. Its message names the field or
// the object, and the remedy.
type Problem struct {
	Reason  string
	Message string
}

// Make decides what this pass intends to do. freshCookie is used only if the
// cluster has no cookie, and brings none.
func Make(s state.State, operator Operator, freshCookie string) Plan {
	p, r := &Plan{}, rotation.NextCA(s)
	services(p, s, operator)
	certificates(p, s, r)
	ownership(p, s)
	distribution(p, s, r)
	members(p, s, operator)
	probe(p, s, operator)
	refresh(p, s)
	cookie(p, s, freshCookie)
	prune(p, s)
	return *p
}

func (p *Plan) apply(configurations ...Configuration) { p.Apply = append(p.Apply, configurations...) }

func (p *Plan) hold(reason, message string) {
	p.Holds = append(p.Holds, Hold{Reason: reason, Message: message})
}

func (p *Plan) problem(reason, message string) {
	p.Problems = append(p.Problems, Problem{Reason: reason, Message: message})
}

// Labels that everything of a cluster carries. Selectors and caches use the ones of
// our own group, so that users may put what they like into the others.
const (
	// LabelCluster is the name of the ErlangCluster.
	LabelCluster = v1alpha1.Group + "/cluster"
	// LabelComponent tells a node from the probe.
	LabelComponent = v1alpha1.Group + "/component"

	// ComponentNode runs the BEAM.
	ComponentNode = "node"
	// ComponentProbe proves the mesh.
	ComponentProbe = "probe"
)

// Labels of the objects of a cluster.
func Labels(cluster string) map[string]string {
	return map[string]string{
		LabelCluster:                   cluster,
		"app.kubernetes.io/name":       "erlang",
		"app.kubernetes.io/instance":   cluster,
		"app.kubernetes.io/managed-by": "erlang-operator",
	}
}

// Selector selects the pods of one component of a cluster.
func Selector(cluster, component string) map[string]string {
	return map[string]string{LabelCluster: cluster, LabelComponent: component}
}

// ownable is what every typed apply configuration can do.
type ownable[T any] interface {
	WithLabels(map[string]string) T
	WithOwnerReferences(...*applymeta.OwnerReferenceApplyConfiguration) T
}

// owned marks a configuration as the cluster's: garbage collection takes it when
// the cluster goes.
func owned[T ownable[T]](configuration T, s state.State) T {
	return configuration.
		WithLabels(Labels(s.Names.Cluster)).
		WithOwnerReferences(applymeta.OwnerReference().
			WithAPIVersion(v1alpha1.SchemeGroupVersion.String()).
			WithKind("ErlangCluster").
			WithName(s.Cluster.Name).
			WithUID(s.Cluster.UID).
			WithController(true).
			WithBlockOwnerDeletion(true))
}

// OwnerReference is the same as a typed value.
func OwnerReference(cluster *v1alpha1.ErlangCluster) metav1.OwnerReference {
	return *metav1.NewControllerRef(cluster, v1alpha1.SchemeGroupVersion.WithKind("ErlangCluster"))
}

// Owns says that a Secret is the cluster's: it has our owner reference, or is one that
// cert-manager made for a Certificate of ours, and will be given it. A copy of such a
// Secret has another name, and is its maker's.
func Owns(cluster *v1alpha1.ErlangCluster, secret metav1.Object) bool {
	if controller := metav1.GetControllerOf(secret); controller != nil && !controlledByCertificate(secret) {
		return controller.UID == cluster.UID
	}
	return secret.GetLabels()[LabelCluster] == cluster.Name && secret.GetAnnotations()[certmanager.CertificateNameKey] == secret.GetName()
}

// controlledByCertificate says that cert-manager made a Secret with
// --enable-certificate-owner-ref: it goes with its Certificate, and no other can be its
// controller.
func controlledByCertificate(secret metav1.Object) bool {
	controller := metav1.GetControllerOf(secret)
	return controller != nil && controller.Kind == certmanager.CertificateKind && controller.Name == secret.GetName()
}

// prune deletes the objects that the cluster owns, of the kinds that come and go,
// which the plan does not want.
func prune(p *Plan, s state.State) {
	wanted := map[string]bool{}
	for _, configuration := range p.Apply {
		wanted[*configuration.GetKind()+"/"+*configuration.GetName()] = true
	}
	for _, object := range append(slices.Clone(s.Owned), ownerless(s)...) {
		kind, name := object.GetObjectKind().GroupVersionKind().Kind, object.GetName()
		if wanted[kind+"/"+name] || object.GetDeletionTimestamp() != nil {
			continue
		}
		switch kind {
		case "Certificate":
			// A departing node speaks to its peers until its pod is gone.
			if hasPod(s, name) {
				continue
			}
		case "Secret":
			// A Secret goes after its Certificate, or cert-manager would make it again.
			if name == s.Names.CookieSecret() || wanted["Certificate/"+name] || s.Certificates[name] != nil {
				continue
			}
		case "Issuer", "NetworkPolicy", "PodDisruptionBudget":
		default:
			// What is held back, as the StatefulSet while its template is refused, runs on.
			continue
		}
		p.Delete = append(p.Delete, object)
	}
	slices.SortFunc(p.Delete, func(a, b state.Object) int {
		return cmp.Or(
			cmp.Compare(a.GetObjectKind().GroupVersionKind().Kind, b.GetObjectKind().GroupVersionKind().Kind),
			cmp.Compare(a.GetName(), b.GetName()))
	})
}

// ownerless are the Secrets that cert-manager made for Certificates of the cluster,
// and that the cluster did not become the owner of. When such a Certificate goes,
// nobody else takes its Secret, and the key in it.
func ownerless(s state.State) []state.Object {
	var secrets []state.Object
	for _, name := range slices.Sorted(maps.Keys(s.Secrets)) {
		if secret := s.Secrets[name]; metav1.GetControllerOf(secret) == nil || controlledByCertificate(secret) {
			secrets = append(secrets, secret)
		}
	}
	return secrets
}

// hasPod says that the pod whose certificate has that name is still there, and has it
// from the Secret.
func hasPod(s state.State, certificate string) bool {
	return slices.ContainsFunc(s.Pods, func(pod corev1.Pod) bool {
		return s.Names.Certificate(pod.Name) == certificate && state.DeliveryTo(pod.Spec) == v1alpha1.DeliverySecret
	})
}
