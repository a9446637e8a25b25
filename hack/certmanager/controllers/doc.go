// Package controllers runs cert-manager's own controllers for the issuer
// kinds CA and SelfSigned: the real code of the release that go.mod names, in
// a process of one's choice.
//
// cert-manager publishes its controllers as packages but its programs not at
// all, so this package does what its controller program does after reading
// its flags, with the same defaults. Left out are ACME, Vault and Venafi,
// metrics, and leader election: run it once per cluster.
//
// cert-manager's webhook is not here either. Without it the API server judges
// Certificates and Issuers by their CRD schemas only, nobody checks who may
// approve a CertificateRequest, and the request's identity fields (username,
// uid, groups) stay empty. Issuing needs none of that: the approver
// controller approves every request.
package controllers
