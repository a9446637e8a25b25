// Package sign decides what becomes of a kubelet's request for the certificate of a
// node. It is pure: a Decision is a function of the request and of what was looked
// up. Making one touches nothing, and holds no key.
//
// Who asks is known from what the API server vouches for: a kubelet can make a
// request only for a pod that runs on its machine, by name and UID (NodeRestriction).
// What else a request says, its annotations and all of its PKCS#10 but the public
// key, is the pod's word about itself, and is not read.
package podcert
