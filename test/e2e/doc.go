// Package e2e tests the whole product: the operator, cert-manager and real Erlang
// nodes on a real Kubernetes, which KUBECONFIG names and on which the operator is
// installed. `make test-e2e` does all of that.
//
// The tests use kubectl, as users do, and query the nodes themselves.
package e2e
