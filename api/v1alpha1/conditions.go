package v1alpha1

// Types of conditions of an ErlangCluster.
const (
	// ConditionReady is derived from all the others: every expected node is
	// verified, and all of them are one mesh.
	ConditionReady = "Ready"
	// ConditionCredentialsReady: the cookie, the trust bundle and every node's
	// certificate exist and are good.
	ConditionCredentialsReady = "CredentialsReady"
	// ConditionNodesReady: every expected pod runs, with its own identity.
	ConditionNodesReady = "NodesReady"
	// ConditionMeshConnected: the probe verified every expected node, and all links.
	ConditionMeshConnected = "MeshConnected"
	// ConditionMutualTLSEnforced: the probe tried what every node must refuse, and
	// every node refused it.
	ConditionMutualTLSEnforced = "MutualTLSEnforced"

	// ConditionReconciling is there only while something is still on its way.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is there only while somebody has to mend the spec, or what it
	// refers to.
	ConditionStalled = "Stalled"
	// ConditionSharedIssuer is a warning, there only while tls.issuerRef is set: who
	// else has certificates of that issuer can be a member, if he has the cookie.
	ConditionSharedIssuer = "SharedIssuer"
	// ConditionCertificateExpiring is a warning, there only while a certificate, or a CA,
	// has little of its time left, and should have been renewed before.
	ConditionCertificateExpiring = "CertificateExpiring"
	// ConditionCertificateShortLived is a warning, there only while the issuer gives
	// certificates that live for much less than was asked for.
	ConditionCertificateShortLived = "CertificateShortLived"
)

// RunbookURL and a reason in lower case is the section of the troubleshooting guide
// that tells of it.
const RunbookURL = "https://github.com/erlang-operator/erlang-operator/blob/main/docs/troubleshooting.md#"

// ReadinessGate is the pod condition that the manager sets once, when a node has
// joined the mesh. Rollouts wait for it.
const ReadinessGate = "erlang-operator.dev/joined"

// Reasons of a verdict on a node. They are API: scripts and alerts may match
// them.
const (
	ReasonVerified = "Verified"

	// Stage Resolve.
	ReasonNameResolutionFailed = "NameResolutionFailed"

	// Stages Connect and ConnectDistribution.
	ReasonConnectionRefused  = "ConnectionRefused"
	ReasonConnectionTimedOut = "ConnectionTimedOut"

	// Stage Lookup.
	ReasonEPMDUnreachable   = "EPMDUnreachable"
	ReasonNodeNotRegistered = "NodeNotRegistered"
	ReasonPortOutOfRange    = "PortOutOfRange"

	// Stage TLS.
	ReasonPlaintextDistribution     = "PlaintextDistribution"
	ReasonTLSVersionMismatch        = "TLSVersionMismatch"
	ReasonCertificateUntrusted      = "CertificateUntrusted"
	ReasonCertificateExpired        = "CertificateExpired"
	ReasonCertificateNotYetValid    = "CertificateNotYetValid"
	ReasonCertificateNameMismatch   = "CertificateNameMismatch"
	ReasonCertificateUnusable       = "CertificateUnusable"
	ReasonClientCertificateRejected = "ClientCertificateRejected"
	ReasonMutualTLSNotEnforced      = "MutualTLSNotEnforced"
	ReasonNotErlang                 = "NotErlang"

	// Stage Handshake.
	ReasonCookieMismatch    = "CookieMismatch"
	ReasonNodeNameMismatch  = "NodeNameMismatch"
	ReasonNodeNameInUse     = "NodeNameInUse"
	ReasonHandshakeRejected = "HandshakeRejected"
	ReasonUnsupportedFlags  = "UnsupportedFlags"
	ReasonHandshakeTimedOut = "HandshakeTimedOut"
	ReasonSlowHandshake     = "SlowHandshake"

	// Stage Call.
	ReasonCallFailed = "CallFailed"

	// The mesh.
	ReasonLinkMissing    = "LinkMissing"
	ReasonAsymmetricLink = "AsymmetricLink"
	ReasonPartitioned    = "Partitioned"
)

// Reasons of the warnings about certificates.
const (
	// ReasonCertificateExpiring: of a certificate that should have been renewed, less
	// than three tenths of its life are left.
	ReasonCertificateExpiring = "CertificateExpiring"
	// ReasonCertificateExpiryImminent: less than a tenth is.
	ReasonCertificateExpiryImminent = "CertificateExpiryImminent"
	// ReasonCAExpiring: so much for a CA that the nodes trust.
	ReasonCAExpiring = "CAExpiring"
	// ReasonCAExpiryImminent: and so much.
	ReasonCAExpiryImminent = "CAExpiryImminent"
	// ReasonCertificateShortLived: the issuer gave less than half of the life that was
	// asked for.
	ReasonCertificateShortLived = "CertificateShortLived"
)

// Reasons of the manager.
const (
	// ReasonMeshVerified: Ready, as proven.
	ReasonMeshVerified = "MeshVerified"
	// ReasonScaledToZero: no node is expected, and none is there.
	ReasonScaledToZero = "ScaledToZero"
	// ReasonProgressing: on its way.
	ReasonProgressing = "Progressing"
	// ReasonProbeNotReporting: the probe has not reported for this generation, or its
	// last report is too old to be believed.
	ReasonProbeNotReporting = "ProbeNotReporting"
	// ReasonCookieSecretNotFound: cookie.secretKeyRef names what is not there.
	ReasonCookieSecretNotFound = "CookieSecretNotFound"
	// ReasonCookieInvalid: the Secret of cookie.secretKeyRef holds no usable cookie.
	ReasonCookieInvalid = "CookieInvalid"
	// ReasonCookieLost: the Secret with the generated cookie is gone, while nodes run
	// with that cookie.
	ReasonCookieLost = "CookieLost"
	// ReasonRotatingCookie: the nodes change to another cookie, one by one.
	ReasonRotatingCookie = "RotatingCookie"
	// ReasonRotatingCA: the nodes go over to the certificates of another CA, step by
	// step.
	ReasonRotatingCA = "RotatingCA"
	// ReasonCertificateNotServed: a node still serves another certificate than the one
	// that is stored for it.
	ReasonCertificateNotServed = "CertificateNotServed"
	// ReasonIssuerNotFound: tls.issuerRef names what is not there.
	ReasonIssuerNotFound = "IssuerNotFound"
	// ReasonIssuerNotReady: the issuer says that it cannot sign.
	ReasonIssuerNotReady = "IssuerNotReady"
	// ReasonIssuerKindUnknown: tls.issuerRef names a kind that this Kubernetes does not
	// have.
	ReasonIssuerKindUnknown = "IssuerKindUnknown"
	// ReasonIssuerGivesNoRoot: what the issuer gives comes without the CAs above it, up to
	// the root, so that the trust bundle cannot be made.
	ReasonIssuerGivesNoRoot = "IssuerGivesNoRoot"
	// ReasonIssuerGivesNoCA: tls.delivery PodCertificate needs an intermediate CA, and
	// the issuer gave something else, or may not give one.
	ReasonIssuerGivesNoCA = "IssuerGivesNoCA"
	// ReasonPodCertificatesMissing: tls.delivery PodCertificate needs an API that this
	// Kubernetes does not have.
	ReasonPodCertificatesMissing = "PodCertificatesMissing"
	// ReasonCertificatesPending: certificates are being issued.
	ReasonCertificatesPending = "CertificatesPending"
	// ReasonCertificatesIssued: every certificate is there and good.
	ReasonCertificatesIssued = "CertificatesIssued"
	// ReasonCertificateRefused: the issuer refused a certificate, or failed.
	ReasonCertificateRefused = "CertificateRefused"
	// ReasonCertificateOverdue: a certificate has been awaited for long.
	ReasonCertificateOverdue = "CertificateOverdue"
	// ReasonNameConflict: an object that we need to make exists and is not ours.
	ReasonNameConflict = "NameConflict"
	// ReasonRejected: the API server refused an object that the spec asks for.
	ReasonRejected = "Rejected"
	// ReasonPodsPending: pods are missing or not running yet.
	ReasonPodsPending = "PodsPending"
	// ReasonPodFailing: a pod cannot start, or keeps crashing.
	ReasonPodFailing = "PodFailing"
	// ReasonPodsRunning: every expected pod runs.
	ReasonPodsRunning = "PodsRunning"
	// ReasonAdmissionPolicyMissing: a pod was created without its own certificate,
	// because the MutatingAdmissionPolicy of the operator was not in force.
	ReasonAdmissionPolicyMissing = "AdmissionPolicyMissing"
	// ReasonRefusalsProven: every node refused what it must refuse.
	ReasonRefusalsProven = "RefusalsProven"
	// ReasonRollingOut: pods are replaced by ones of the latest template.
	ReasonRollingOut = "RollingOut"
	// ReasonScalingDown: pods are leaving.
	ReasonScalingDown = "ScalingDown"
	// ReasonIssuerRefSet: tls.issuerRef is set.
	ReasonIssuerRefSet = "IssuerRefSet"
	// ReasonAwaitingProof: the refusals have not been tried on every node yet.
	ReasonAwaitingProof = "AwaitingProof"
)
