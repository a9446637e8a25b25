// Package envtest tests the API and the manager against a real kube-apiserver and
// etcd, with the real cert-manager controllers and the manager's own program under
// its own permissions. There is no kubelet and no kube-controller-manager: where a
// pod is needed, the tests create it from the StatefulSet's template, and where a
// report of the probe is needed, they write it with the permissions of the probe.
//
// KUBEBUILDER_ASSETS names the directory with the two programs; `make test-envtest`
// sets it.
package envtest
