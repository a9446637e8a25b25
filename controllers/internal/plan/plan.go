package plan

import (
	"time"

	applycertmanager "github.com/cert-manager/cert-manager/pkg/client/applyconfigurations/certmanager/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/rollout"
	"github.com/erlang-operator/erlang-operator/controllers/internal/rotation"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// Operator is what the manager knows of itself.
type Operator struct {
	// Image of the probe: the operator's own.
	Image string
	// ImagePullPolicy of the probe.
	ImagePullPolicy corev1.PullPolicy
	// Domain of the Kubernetes cluster's DNS.
	Domain string
	// Probe is what spec.probe leaves out.
	Probe v1alpha1.ProbeSpec
	// PodIdentity is what gives each pod its own certificate.
	PodIdentity state.PodIdentity
}

// A Plan is all that one pass intends to do.
type Plan struct {
	// Create is made when it is not there, and left as it is when it is: the cookie.
	Create []*corev1.Secret
	// Replace if it is still what was observed: the cookie, when it is rotated.
	Replace []*corev1.Secret
	// Apply, in order of dependency.
	Apply []Configuration
	// Held are objects by name that will be applied once what they wait for is there.
	Held []Configuration
	// Delete what is ours and no longer wanted, if it is still what was observed.
	Delete []state.Object
	// Retry are Certificates that cert-manager is to issue again, if they are still what was observed.
	Retry []*applycertmanager.CertificateApplyConfiguration
	// Release is a Lease that its probe no longer renews, if it is still what was observed.
	Release *coordinationv1.Lease
	// Refresh are pods whose kubelet should look at their files now.
	Refresh []*applycore.PodApplyConfiguration
	// Holds are what is deliberately not done yet, and why.
	Holds []Hold
	// Rotations that are under way.
	Rotations []rotation.Step
	// Rollout of the latest template.
	Rollout rollout.Step
	// Problems are what a person has to fix before the rest can be done.
	Problems []Problem
	// Again is when there is something to do although nothing has changed; zero when never.
	Again time.Time
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

// A Problem is something that a person has to fix. Its message names the field or the
// object, and the remedy.
type Problem struct {
	Reason  string
	Message string
}

// Make decides what this pass intends to do. freshCookie is used only if the
// cluster has no cookie, and brings none.
func Make(s state.State, operator Operator, freshCookie string) Plan {
	p, step := &Plan{}, rotation.NextCA(s)
	p.apply(service(s))
	if s.Cluster.Spec.NetworkPolicy.Mode != v1alpha1.NetworkPolicyUnmanaged {
		p.apply(networkPolicy(s))
	}
	if s.Replicas() > 1 && s.Cluster.Spec.PodDisruptionBudget.Mode != v1alpha1.Unmanaged {
		p.apply(podDisruptionBudget(s))
	}
	certificates(p, s, step)
	retry(p, s)
	reissue(p, s, step.Trust)
	ownership(p, s)
	distribution(p, s, step)
	cookie(p, s, freshCookie)
	nodes(p, s)
	probe(p, s, operator)
	refresh(p, s)
	prune(p, s)
	if s.Cluster.Spec.Suspend {
		p.changeNothing()
	}
	return *p
}

// changeNothing leaves what is known and waited for, and nothing that is to be done.
func (p *Plan) changeNothing() {
	*p = Plan{Holds: p.Holds, Rotations: p.Rotations, Rollout: p.Rollout, Problems: p.Problems}
}

func (p *Plan) apply(configurations ...Configuration) { p.Apply = append(p.Apply, configurations...) }

// hold holds back objects, if any, which are given by their names.
func (p *Plan) hold(reason, message string, objects ...Configuration) {
	p.Holds = append(p.Holds, Hold{Reason: reason, Message: message})
	p.Held = append(p.Held, objects...)
}

// again plans another pass at a time.
func (p *Plan) again(at time.Time) {
	if p.Again.IsZero() || at.Before(p.Again) {
		p.Again = at
	}
}

// rotate notes how far a rotation is.
func (p *Plan) rotate(step rotation.Step) {
	if !step.Settled() {
		p.Rotations = append(p.Rotations, step)
		p.hold(step.Reason(), step.String())
	}
}

func (p *Plan) problem(reason, message string) {
	p.Problems = append(p.Problems, Problem{Reason: reason, Message: message})
}
