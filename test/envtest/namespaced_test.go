package envtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// Two managers with Roles in different namespaces reconcile the clusters of their own, may read
// nothing in others, and request nothing there.
func TestWatchNamespaces(t *testing.T) {
	a, b, c := newNamespace(t), newNamespace(t), newNamespace(t)
	requestsOfFirst, requestsOfSecond := requestsOf(t, accountIn(a)), requestsOf(t, accountIn(b))
	first, second := newNamespacedManager(t, a), newNamespacedManager(t, b)
	for _, namespace := range []string{a, b, c} {
		create(t, object(t, namespace, minimal))
	}
	for _, namespace := range []string{a, b} {
		awaitStatefulSet(t, namespace, 3)
		awaitCondition(t, namespace, v1alpha1.ConditionCredentialsReady, metav1.ConditionTrue, v1alpha1.ReasonCertificatesIssued)
	}
	if status := get(t, clusterIn(c)).Status; len(status.Conditions) > 0 {
		t.Errorf("a cluster that nobody watches has conditions: %v", status.Conditions)
	}
	for account, mine := range map[string]string{first.account: a, second.account: b} {
		for _, namespace := range []string{a, b, c, ""} {
			if got := must(mayListSecrets(t.Context(), account, namespace))(t); got != (namespace == mine) {
				t.Errorf("the manager of %s may list Secrets in %q: %t", mine, namespace, got)
			}
		}
	}
	expectOnlyIn(t, requestsOfFirst, a)
	expectOnlyIn(t, requestsOfSecond, b)
	for _, manager := range []namespacedManager{first, second} {
		if log := tail(manager.log, 10_000); strings.Contains(log, "forbidden") {
			t.Errorf("something was forbidden:\n%s", log)
		}
	}
}

// expectOnlyIn requires that there were requests, and that all of them were in one namespace.
func expectOnlyIn(t *testing.T, log *requestLog, namespace string) {
	t.Helper()
	requests := must(log.next())(t)
	if len(requests) == 0 {
		t.Errorf("%s has requested nothing", log.user)
	}
	for _, r := range requests {
		discovery, own := r.ObjectRef.Resource == "", r.ObjectRef.Resource == "selfsubjectaccessreviews"
		if r.ObjectRef.Namespace != namespace && !discovery && !own {
			t.Errorf("%s, which watches %s: %s", log.user, namespace, r)
		}
	}
}

// What a manager with Roles alone cannot do is reported with the remedy.
func TestPodCertificatesWithoutPermissionToSign(t *testing.T) {
	requirePodCertificates(t)
	namespace := newNamespace(t)
	newNamespacedManager(t, namespace)
	create(t, merged(t, object(t, namespace, minimal), podCertificate))
	eventually(t, "the cluster is Stalled", func(ctx context.Context) error {
		cluster, err := read(ctx, clusterIn(namespace))
		if err != nil {
			return err
		}
		for _, condition := range cluster.Status.Conditions {
			if condition.Type == v1alpha1.ConditionStalled && strings.Contains(condition.Message, "ClusterRole erlang-operator-manager-cluster") {
				return nil
			}
		}
		return fmt.Errorf("there are %s", summary(cluster))
	})
}

// A manager is alive, and not ready, as long as it cannot read what it watches.
func TestReadyWhenCachesAreSynced(t *testing.T) {
	a, b := newNamespace(t), newNamespace(t)
	health := freeAddress(t)
	account := grantRoles(t, a)
	kubeconfig := must(kubeconfigOf(account, "system:serviceaccounts", "system:authenticated"))(t)
	startManagerWith(t, kubeconfig, "--watch-namespaces="+a+","+b, "--health-probe-bind-address="+health)
	eventually(t, "it is alive", answers("http://"+health+"/healthz", http.StatusOK))
	check(t, answers("http://"+health+"/readyz", http.StatusInternalServerError)(t.Context()))
	bindRoles(t, b, account)
	eventually(t, "it is ready", answers("http://"+health+"/readyz", http.StatusOK))
}

// answers reports whether a GET of a URL is answered with that status.
func answers(url string, want int) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		if response.StatusCode != want {
			err = fmt.Errorf("%s answers with %d, want %d", url, response.StatusCode, want)
		}
		return errors.Join(err, response.Body.Close())
	}
}

// A namespacedManager is a manager that watches some namespaces, in which alone it has Roles.
type namespacedManager struct {
	*manager
	account string
}

func newNamespacedManager(t *testing.T, namespace string) namespacedManager {
	t.Helper()
	account := grantRoles(t, namespace)
	kubeconfig := must(kubeconfigOf(account, "system:serviceaccounts", "system:authenticated"))(t)
	return namespacedManager{startManagerWith(t, kubeconfig, "--watch-namespaces="+namespace), account}
}

// grantRoles gives a new ServiceAccount the Roles of config/namespaced in a namespace.
func grantRoles(t *testing.T, namespace string) (account string) {
	t.Helper()
	account = accountIn(namespace)
	bindRoles(t, namespace, account)
	return account
}

// accountIn is the name of the ServiceAccount of a manager in a namespace.
func accountIn(namespace string) string {
	return fmt.Sprintf("system:serviceaccount:%s:erlang-operator-manager", namespace)
}

func bindRoles(t *testing.T, namespace, account string) {
	t.Helper()
	for _, object := range must(built("config/namespaced/role"))(t) {
		if kind := object.GetKind(); kind != "Role" && kind != "RoleBinding" {
			t.Errorf("config/namespaced/role has a %s", kind)
		}
		object.SetNamespace(namespace)
		if object.GetKind() == "RoleBinding" {
			check(t, unstructured.SetNestedSlice(object.Object, []any{
				map[string]any{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": account},
			}, "subjects"))
		}
		check(t, admin.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("install"), client.ForceOwnership))
	}
	// The API server decides by what its caches have.
	eventually(t, "the Roles are in force", func(ctx context.Context) error {
		allowed, err := mayListSecrets(ctx, account, namespace)
		if err == nil && !allowed {
			err = fmt.Errorf("%s may not list Secrets in %s", account, namespace)
		}
		return err
	})
}

// The installation for some namespaces grants nothing beyond them.
func TestNamespacedInstallationHasRolesOnly(t *testing.T) {
	for _, object := range must(built("config/namespaced"))(t) {
		switch object.GetKind() {
		case "ClusterRoleBinding":
			t.Errorf("ClusterRoleBinding %s", object.GetName())
		case "Role":
			role := &rbacv1.Role{}
			check(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, role))
			for _, rule := range role.Rules {
				expectNamespaced(t, rule)
			}
		}
	}
}

// expectNamespaced fails for what is in no namespace: a Role grants none of that.
func expectNamespaced(t *testing.T, rule rbacv1.PolicyRule) {
	t.Helper()
	for _, resource := range rule.Resources {
		resource, _, _ = strings.Cut(resource, "/")
		if resource == "podcertificaterequests" && !served.PodCertificates {
			continue
		}
		kind := must(admin.RESTMapper().KindFor(schema.GroupVersionResource{Group: rule.APIGroups[0], Resource: resource}))(t)
		mapping := must(admin.RESTMapper().RESTMapping(kind.GroupKind(), kind.Version))(t)
		if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
			t.Errorf("%s are in no namespace: use roleName=erlang-operator-manager-cluster", resource)
		}
	}
}

// mayListSecrets is `kubectl auth can-i list secrets`; in all namespaces if none is named.
func mayListSecrets(ctx context.Context, account, namespace string) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: account, ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "list", Resource: "secrets", Namespace: namespace}}}
	err := admin.Create(ctx, review)
	return review.Status.Allowed, err
}

// built is what kustomize builds of a directory of this repository.
func built(directory string) ([]*unstructured.Unstructured, error) {
	build := exec.Command("go", "tool", "-modfile=hack/tools/go.mod", "kustomize", "build", directory)
	build.Dir = repository()
	output, err := build.Output()
	if err != nil {
		return nil, fmt.Errorf("kustomize build %s: %w", directory, err)
	}
	return decoded(filepath.Join(directory, "kustomization.yaml"), bytes.NewReader(output))
}
