// Package podcert decides whether a kubelet's request for the certificate of a node is
// granted. It is pure: a Decision is a function of the request and of what was looked up.
// It reads nothing and holds no key.
//
// The identity of the requester is what the API server guarantees: a kubelet can create a
// request only for a pod that runs on its machine, by name and UID (NodeRestriction). The
// rest of a request, its annotations and all of its PKCS#10 but the public key, is the
// pod's own claim, and is not read.
package podcert
