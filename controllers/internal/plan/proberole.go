package plan

import (
	coordinationv1 "k8s.io/api/coordination/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	applyrbac "k8s.io/client-go/applyconfigurations/rbac/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

func probeServiceAccount(s state.State, spec v1alpha1.ProbeSpec) *applycore.ServiceAccountApplyConfiguration {
	// With its default left out, a change by hand would not be restored.
	return owned(applycore.ServiceAccount(s.Names.Probe(), s.Names.Namespace), s).
		WithAnnotations(spec.ServiceAccountAnnotations).
		WithAutomountServiceAccountToken(true)
}

// probeRole is what the probe may touch: its cluster's status, its own key, the cookie, the
// trust bundle and its Lease, each by name; and the EndpointSlices, whose names Kubernetes makes.
func probeRole(s state.State) *applyrbac.RoleApplyConfiguration {
	names := s.Names
	return owned(applyrbac.Role(names.Probe(), names.Namespace), s).WithRules(
		rule(v1alpha1.Group, "erlangclusters", names.Cluster).WithVerbs("get", "list", "watch"),
		rule(v1alpha1.Group, "erlangclusters/status", names.Cluster).WithVerbs("patch"),
		rule("", "secrets", names.CookieSecret(), names.Certificate(names.Probe()), names.Certificate(names.Canary())).WithVerbs("get", "list", "watch"),
		rule("", "configmaps", names.Distribution()).WithVerbs("get", "list", "watch"),
		rule(coordinationv1.GroupName, "leases", names.Probe()).WithVerbs("get", "create", "update"),
		rule(discoveryv1.GroupName, "endpointslices").WithVerbs("list", "watch"))
}

func rule(group, resource string, names ...string) *applyrbac.PolicyRuleApplyConfiguration {
	return applyrbac.PolicyRule().WithAPIGroups(group).WithResources(resource).WithResourceNames(names...)
}

func probeRoleBinding(s state.State) *applyrbac.RoleBindingApplyConfiguration {
	name, namespace := s.Names.Probe(), s.Names.Namespace
	return owned(applyrbac.RoleBinding(name, namespace), s).
		WithRoleRef(applyrbac.RoleRef().WithAPIGroup(rbacv1.GroupName).WithKind("Role").WithName(name)).
		WithSubjects(applyrbac.Subject().WithKind(rbacv1.ServiceAccountKind).WithName(name).WithNamespace(namespace))
}
