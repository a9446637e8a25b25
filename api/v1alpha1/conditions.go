package v1alpha1

// Types of conditions of an ErlangCluster.
const (
	// ConditionReady is derived from the others: every expected node is verified, and
	// all of them form one mesh.
	ConditionReady = "Ready"
	// ConditionCredentialsReady: the cookie, the trust bundle and every node's
	// certificate exist and are valid.
	ConditionCredentialsReady = "CredentialsReady"
	// ConditionNodesReady: every expected pod is Ready for the kubelet, the template's own
	// probes included. Until its node has joined, its containers have to be.
	ConditionNodesReady = "NodesReady"
	// ConditionMeshConnected: the probe verified every expected node and every link.
	ConditionMeshConnected = "MeshConnected"
	// ConditionMutualTLSEnforced: the probe made the connection attempts that every node
	// must refuse, and every node refused them.
	ConditionMutualTLSEnforced = "MutualTLSEnforced"

	// ConditionReconciling is present only while a change is in progress.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is present only while somebody has to fix the spec, or what it
	// refers to.
	ConditionStalled = "Stalled"
	// ConditionSuspended is present only while spec.suspend is true.
	ConditionSuspended = "Suspended"
	// ConditionClusterDomainMismatch is a warning, present only while the manager's
	// --cluster-domain is not the domain that the nodes were named under.
	ConditionClusterDomainMismatch = "ClusterDomainMismatch"
	// ConditionRuntimeMismatch is a warning, present only while a node is a release of another
	// kind than spec.runtime is for.
	ConditionRuntimeMismatch = "RuntimeMismatch"
	// ConditionSharedIssuer is a warning, present only while tls.issuerRef is set:
	// whoever else has a certificate of that issuer, and the cookie, can join.
	ConditionSharedIssuer = "SharedIssuer"
	// ConditionCertificateExpiring is a warning, present only while a certificate or a CA
	// that should have been renewed is about to expire.
	ConditionCertificateExpiring = "CertificateExpiring"
	// ConditionCertificateShortLived is a warning, present only while the issuer signs
	// certificates that live for much less than was requested.
	ConditionCertificateShortLived = "CertificateShortLived"
	// ConditionIssuerUnavailable is a warning, present only while the issuer of
	// tls.issuerRef cannot issue, and nothing that it should have issued is missing yet.
	ConditionIssuerUnavailable = "IssuerUnavailable"
	// ConditionFieldConflict is a warning, present only while another field manager changes an
	// object of the cluster again and again.
	ConditionFieldConflict = "FieldConflict"
)

// RunbookURL is the URL of a section of the troubleshooting guide, without the reason in
// lower case at its end.
const RunbookURL = "https://github.com/erlang-operator/erlang-operator/blob/main/docs/troubleshooting.md#"

// ReadinessGate is the pod condition that the manager sets to true once, when the node
// has joined the mesh. Rollouts wait for it.
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
	ReasonHiddenNode        = "HiddenNode"
	ReasonHandshakeRejected = "HandshakeRejected"
	ReasonUnsupportedFlags  = "UnsupportedFlags"
	ReasonHandshakeTimedOut = "HandshakeTimedOut"
	ReasonSlowHandshake     = "SlowHandshake"

	// Stage Call.
	ReasonCallFailed = "CallFailed"
	ReasonNotTheNode = "NotTheNode"
	// ReasonRuntimeMismatch is a warning: the node works.
	ReasonRuntimeMismatch = "RuntimeMismatch"

	// The mesh.
	ReasonLinkMissing    = "LinkMissing"
	ReasonAsymmetricLink = "AsymmetricLink"
	ReasonPartitioned    = "Partitioned"
)

// Reasons of the warnings about certificates.
const (
	// ReasonCertificateExpiring: a certificate that should have been renewed has less
	// than three tenths of its life left.
	ReasonCertificateExpiring = "CertificateExpiring"
	// ReasonCertificateExpiryImminent: less than a tenth of it.
	ReasonCertificateExpiryImminent = "CertificateExpiryImminent"
	// ReasonCAExpiring: a CA that the nodes trust has less than three tenths of its life
	// left.
	ReasonCAExpiring = "CAExpiring"
	// ReasonCAExpiryImminent: less than a tenth of it.
	ReasonCAExpiryImminent = "CAExpiryImminent"
	// ReasonCertificateShortLived: the issuer signed for less than half of the lifetime
	// that was requested.
	ReasonCertificateShortLived = "CertificateShortLived"
)

// Reasons of the manager.
const (
	// ReasonMeshVerified: the probe verified every node and every link.
	ReasonMeshVerified = "MeshVerified"
	// ReasonScaledToZero: no node is expected.
	ReasonScaledToZero = "ScaledToZero"
	// ReasonProgressing: a change is in progress.
	ReasonProgressing = "Progressing"
	// ReasonProbeNotReporting: the probe has not reported for this generation, or its
	// last report is too old.
	ReasonProbeNotReporting = "ProbeNotReporting"
	// ReasonCookieSecretNotFound: the Secret or key of cookie.secretKeyRef does not exist.
	ReasonCookieSecretNotFound = "CookieSecretNotFound"
	// ReasonCookieInvalid: the Secret of cookie.secretKeyRef holds no usable cookie.
	ReasonCookieInvalid = "CookieInvalid"
	// ReasonCookieLost: the Secret with the generated cookie does not exist, while nodes
	// run with that cookie.
	ReasonCookieLost = "CookieLost"
	// ReasonRotatingCookie: the nodes switch to another cookie, one by one.
	ReasonRotatingCookie = "RotatingCookie"
	// ReasonRotatingCA: the nodes switch to certificates of another CA, step by step.
	ReasonRotatingCA = "RotatingCA"
	// ReasonCertificateNotServed: a node still serves another certificate than the one
	// that is stored for it.
	ReasonCertificateNotServed = "CertificateNotServed"
	// ReasonIssuerNotFound: the issuer of tls.issuerRef does not exist.
	ReasonIssuerNotFound = "IssuerNotFound"
	// ReasonIssuerNotReady: the issuer reports that it cannot sign.
	ReasonIssuerNotReady = "IssuerNotReady"
	// ReasonIssuerKindUnknown: tls.issuerRef names a kind that this Kubernetes does not
	// have.
	ReasonIssuerKindUnknown = "IssuerKindUnknown"
	// ReasonIssuerGivesNoRoot: the issuer returns certificates without their chain up to
	// the root, so the trust bundle cannot be made.
	ReasonIssuerGivesNoRoot = "IssuerGivesNoRoot"
	// ReasonIssuerGivesNoCA: tls.delivery PodCertificate needs an intermediate CA, and
	// the issuer cannot or may not sign one.
	ReasonIssuerGivesNoCA = "IssuerGivesNoCA"
	// ReasonPodCertificatesMissing: tls.delivery PodCertificate needs an API that this
	// Kubernetes does not have.
	ReasonPodCertificatesMissing = "PodCertificatesMissing"
	// ReasonCertificatesPending: certificates are being issued.
	ReasonCertificatesPending = "CertificatesPending"
	// ReasonCertificatesIssued: every certificate exists and is valid.
	ReasonCertificatesIssued = "CertificatesIssued"
	// ReasonCertificateRefused: the issuer refused to sign a certificate, or failed to.
	ReasonCertificateRefused = "CertificateRefused"
	// ReasonCertificateRetried: an event; an issuer of the cluster's own failed, and issues again.
	ReasonCertificateRetried = "CertificateRetried"
	// ReasonCertificateOverdue: a certificate has not been issued for several minutes.
	ReasonCertificateOverdue = "CertificateOverdue"
	// ReasonNameConflict: an object that the operator must create exists and belongs to
	// somebody else.
	ReasonNameConflict = "NameConflict"
	// ReasonRejected: the API server rejected an object that the spec requires.
	ReasonRejected = "Rejected"
	// ReasonPodsPending: pods are missing, or not running or Ready yet.
	ReasonPodsPending = "PodsPending"
	// ReasonPodTerminating: a pod is not gone although its grace period is over, as on a machine
	// that is off.
	ReasonPodTerminating = "PodTerminating"
	// ReasonMachineNotReady: the machine of a pod, which Kubernetes calls a node, is not Ready.
	ReasonMachineNotReady = "MachineNotReady"
	// ReasonPodFailing: a pod cannot start, keeps crashing, or does not become Ready.
	ReasonPodFailing = "PodFailing"
	// ReasonReadinessProbeFailing: a container has run for minutes, and its readiness probe
	// does not pass.
	ReasonReadinessProbeFailing = "ReadinessProbeFailing"
	// ReasonLivenessProbeFailing: the kubelet restarts a container again and again, because
	// its liveness probe does not pass.
	ReasonLivenessProbeFailing = "LivenessProbeFailing"
	// ReasonStartupProbeFailing: the same, because its startup probe does not pass.
	ReasonStartupProbeFailing = "StartupProbeFailing"
	// ReasonPodsReady: every expected pod is Ready.
	ReasonPodsReady = "PodsReady"
	// ReasonPodIdentityMissing: the operator's MutatingAdmissionPolicy or webhook, which
	// gives each pod its own certificate, is not in effect.
	ReasonPodIdentityMissing = "PodIdentityMissing"
	// ReasonRefusalsProven: every node refused the connections that it must refuse.
	ReasonRefusalsProven = "RefusalsProven"
	// ReasonRollingOut: pods are being replaced by pods of the current template.
	ReasonRollingOut = "RollingOut"
	// ReasonScalingDown: pods are terminating.
	ReasonScalingDown = "ScalingDown"
	// ReasonTerminating: the ErlangCluster is being deleted, and finalizers keep it.
	ReasonTerminating = "Terminating"
	// ReasonSuspended: spec.suspend is true.
	ReasonSuspended = "Suspended"
	// ReasonClusterDomainMismatch: the manager's --cluster-domain has changed since the
	// cluster was created.
	ReasonClusterDomainMismatch = "ClusterDomainMismatch"
	// ReasonFieldConflict: another field manager changes an object of the cluster again and
	// again, and it is restored with ever longer pauses.
	ReasonFieldConflict = "FieldConflict"
	// ReasonIssuerRefSet: tls.issuerRef is set.
	ReasonIssuerRefSet = "IssuerRefSet"
	// ReasonAwaitingProof: the refusal checks have not run on every node yet.
	ReasonAwaitingProof = "AwaitingProof"
)
