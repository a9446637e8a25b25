// Package e2e tests the whole product: the operator, cert-manager and real Erlang
// nodes on a real Kubernetes, which KUBECONFIG names and on which the operator is
// installed. `make test-e2e` does all of that.
//
// The tests speak kubectl, as users do, and ask the nodes themselves what they see.
package e2e
