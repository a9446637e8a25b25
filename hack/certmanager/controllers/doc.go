// Package controllers runs cert-manager's own controllers for the issuer
// kinds CA and SelfSigned, and its cainjector for mutating webhooks: the code of the release that go.mod requires, in
// any process.
//
// cert-manager publishes its controllers as packages, but not its programs, so this
// package does the same as the controller program after parsing its flags, with the
// same defaults. It omits ACME, Vault and Venafi, metrics, and leader election: run it
// once per cluster.
//
// cert-manager's webhook is omitted, too. Without it the API server validates
// Certificates and Issuers only by their CRD schemas, does not check who may approve a
// CertificateRequest, and leaves the request's identity fields (username, uid, groups)
// empty. Issuance does not need it: the approver controller approves every request.
package controllers
