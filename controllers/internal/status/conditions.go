package status

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/rotation"
)

// A finding is a condition without its type and its times.
type finding struct {
	status  metav1.ConditionStatus
	reason  string
	message string
	// underway: nobody has to do anything, it only takes time.
	underway bool
}

func good(reason, message string) finding {
	return finding{status: metav1.ConditionTrue, reason: reason, message: bounded(message, 0)}
}

// bad says where the guide tells more, too.
func bad(reason, message string) finding {
	runbook := " " + v1alpha1.RunbookURL + strings.ToLower(reason)
	return finding{status: metav1.ConditionFalse, reason: reason, message: bounded(message, len(runbook)) + runbook}
}

func underway(reason, message string) finding {
	return finding{status: metav1.ConditionFalse, reason: reason, message: bounded(message, 0), underway: true}
}

// conditions are all the conditions of the cluster. Ready is derived: it is the
// first of the others that is not true, or that all of them are.
func (v view) conditions() []metav1.Condition {
	dependents := []struct {
		condition string
		finding
	}{
		{v1alpha1.ConditionCredentialsReady, v.credentials()},
		{v1alpha1.ConditionNodesReady, v.nodes()},
		{v1alpha1.ConditionMeshConnected, v.mesh()},
		{v1alpha1.ConditionMutualTLSEnforced, v.mutualTLS()},
	}
	ready := v.whole()
	stalled, isStalled := v.stalled()
	if isStalled {
		ready = stalled
	} else {
		for _, dependent := range dependents {
			if dependent.status != metav1.ConditionTrue {
				ready = dependent.finding
				ready.status = metav1.ConditionFalse
				break
			}
		}
	}

	var conditions []metav1.Condition
	set := func(condition string, f finding) {
		conditions = append(conditions, v.transition(condition, f))
	}
	set(v1alpha1.ConditionReady, ready)
	for _, dependent := range dependents {
		set(dependent.condition, dependent.finding)
	}
	if isStalled {
		set(v1alpha1.ConditionStalled, good(stalled.reason, stalled.message))
	} else if progress, ok := v.reconciling(ready); ok {
		set(v1alpha1.ConditionReconciling, good(progress.reason, progress.message))
	}
	if ref := v.Cluster.Spec.TLS.IssuerRef; ref != nil {
		set(v1alpha1.ConditionSharedIssuer, good(v1alpha1.ReasonIssuerRefSet, fmt.Sprintf(
			"OTP checks the chain of a connecting node, not its name: whoever has a certificate of %s %q, or of another CA below the same root, and the cookie, can be a member. Let this issuer serve this cluster alone, or remove tls.issuerRef to have a private CA",
			ref.Kind, ref.Name)))
	}
	if warning, ok := v.expiring(); ok {
		set(v1alpha1.ConditionCertificateExpiring, warning)
	}
	if warning, ok := v.shortLived(); ok {
		set(v1alpha1.ConditionCertificateShortLived, warning)
	}
	return conditions
}

// transition keeps the time of a condition whose status has not changed.
func (v view) transition(condition string, f finding) metav1.Condition {
	since := metav1.NewTime(v.Now.Truncate(1e9))
	if before := meta.FindStatusCondition(v.Cluster.Status.Conditions, condition); before != nil && before.Status == f.status {
		since = before.LastTransitionTime
	}
	return metav1.Condition{
		Type: condition, Status: f.status, Reason: f.reason, Message: f.message,
		LastTransitionTime: since, ObservedGeneration: v.Cluster.Generation,
	}
}

func (v view) whole() finding {
	if v.Replicas() == 0 {
		return good(v1alpha1.ReasonScaledToZero, "No node is asked for, and none is there.")
	}
	return good(v1alpha1.ReasonMeshVerified, fmt.Sprintf(
		"All %d nodes are verified from DNS to a remote call, and are one mesh over mutual TLS.", v.Replicas()))
}

// stalled is what somebody has to mend.
func (v view) stalled() (finding, bool) {
	if len(v.plan.Problems) > 0 {
		messages := make([]string, 0, len(v.plan.Problems))
		for _, problem := range v.plan.Problems {
			messages = append(messages, problem.Message+".")
		}
		return bad(v.plan.Problems[0].Reason, strings.Join(messages, " ")), true
	}
	if !v.outcome.Refused {
		return finding{}, false
	}
	reason, remedy := v1alpha1.ReasonRejected, "Mend the field that it names"
	if v.outcome.Foreign {
		reason, remedy = v1alpha1.ReasonNameConflict, "Delete or rename that object, or give this ErlangCluster another name"
	}
	return bad(reason, fmt.Sprintf("The API server did not take what the spec asks for: %v. %s.", v.outcome.Err, remedy)), true
}

// reconciling is what is still on its way.
func (v view) reconciling(ready finding) (finding, bool) {
	stale, isStale := v.notServed()
	switch {
	case v.outcome.Err != nil:
		return underway(v1alpha1.ReasonProgressing, fmt.Sprintf("The last pass failed and is tried again: %v.", v.outcome.Err)), true
	case len(v.plan.Holds) > 0:
		hold := v.plan.Holds[0]
		return underway(hold.Reason, sentence(hold.Message)), true
	case ready.underway:
		return ready, true
	case isStale && stale.underway:
		return stale, true
	case v.StatefulSet != nil && v.rollingOut():
		return underway(v1alpha1.ReasonRollingOut, fmt.Sprintf("%d of %d pods run the latest template.",
			v.StatefulSet.Status.UpdatedReplicas, v.Replicas())), true
	case int32(len(v.Pods)) > v.Replicas():
		return underway(v1alpha1.ReasonScalingDown, fmt.Sprintf("%d pods are leaving.", int32(len(v.Pods))-v.Replicas())), true
	case v.Replicas() > 0 && v.Cluster.Status.Mesh != nil && v.Cluster.Status.Mesh.ObservedGeneration != v.Cluster.Generation:
		return underway(v1alpha1.ReasonProgressing, "The probe has not held the mesh against the latest spec yet."), true
	}
	return finding{}, false
}

func (v view) rollingOut() bool {
	status := v.StatefulSet.Status
	return status.ObservedGeneration != v.StatefulSet.Generation ||
		status.UpdateRevision != "" && status.UpdateRevision != status.CurrentRevision && status.UpdatedReplicas < v.Replicas()
}

// credentials: the cookie, the trust bundle, and every certificate, stored and served.
func (v view) credentials() finding {
	if v.Cookie() == nil {
		return underway(v1alpha1.ReasonProgressing, "The cookie has not been made yet.")
	}
	if ca := rotation.Wanted(v.State); v.Cluster.Spec.TLS.IssuerRef == nil && v.Trust().Empty() && v.PrivateCA(ca.Name).Empty() {
		return v.notIssued(ca.Name)
	}
	owners := append(v.Names.Pods(v.Replicas()), v.Names.Probe())
	if v.asked() {
		owners = []string{v.Names.Probe()}
	}
	for _, owner := range owners {
		name := v.Names.Certificate(owner)
		leaf, ok := v.StoredCertificate(owner)
		if !ok {
			return v.notIssued(name)
		}
		host := v.Names.Host(owner)
		if owner == v.Names.Probe() {
			host = v.Names.ProbeHost()
		}
		if v.Trust().Empty() {
			return underway(v1alpha1.ReasonCertificatesPending, "The trust bundle has not been made yet.")
		}
		if fault := leaf.Judge(host, v.Trust(), v.Now); fault != nil {
			return bad(fault.Reason, fmt.Sprintf(
				"The certificate in Secret %s %s. See `kubectl describe certificate %s`.", name, fault.Detail, name))
		}
	}
	if v.asked() {
		if fault, found := v.intermediate(); found {
			return fault
		}
	}
	if fault, found := v.servedExpired(); found {
		return fault
	}
	if v.asked() {
		return good(v1alpha1.ReasonCertificatesIssued,
			"The cookie, the trust bundle, the intermediate CA and the probe's certificate are there; the nodes' certificates are known as far as they are served.")
	}
	return good(v1alpha1.ReasonCertificatesIssued, "The cookie, the trust bundle and every certificate are there.")
}

// servedExpired: links that are up know nothing of it, and no new one can be made.
func (v view) servedExpired() (finding, bool) {
	for _, e := range v.memberExpiries() {
		if v.Now.After(e.at) {
			return bad(v1alpha1.ReasonCertificateExpired, fmt.Sprintf("%s %s. %s", e.what, v.ends(e), e.story)), true
		}
	}
	return finding{}, false
}

// asked says that the kubelets ask for the nodes' certificates, which are therefore
// seen where they are served, and nowhere else.
func (v view) asked() bool { return v.Cluster.Spec.TLS.Delivery == v1alpha1.DeliveryPodCertificate }

// intermediate is what is wrong with the CA that signs what the kubelets ask for.
func (v view) intermediate() (finding, bool) {
	name := v.Names.Intermediate()
	ca, ok := v.Intermediate()
	if !ok {
		return v.notIssued(name), true
	}
	if fault := ca.JudgeIntermediate(v.Trust(), v.Now); fault != nil {
		return bad(fault.Reason, fmt.Sprintf(
			"The certificate of the intermediate CA in Secret %s %s. See `kubectl describe certificate %s`.", name, fault.Detail, name)), true
	}
	return finding{}, false
}

// issuingTimeout is how long a certificate may be awaited before that is a fault of its
// own.
const issuingTimeout = 5 * time.Minute

// notIssued says why a certificate is not there, as far as cert-manager tells.
func (v view) notIssued(name string) finding {
	issuance, awaited := v.Issuance(name)
	switch {
	case !awaited && v.Certificates[name] == nil:
		return underway(v1alpha1.ReasonCertificatesPending, fmt.Sprintf("Certificate %s has not been made yet.", name))
	case !awaited:
		return underway(v1alpha1.ReasonCertificatesPending, fmt.Sprintf("The certificate in Secret %s cannot be read yet.", name))
	case issuance.Failed:
		return bad(v1alpha1.ReasonCertificateRefused, fmt.Sprintf(
			"cert-manager could not have certificate %s issued: %s. It tries again by itself, less and less often. See `kubectl describe certificate %s`.", name, issuance.Said, name))
	}
	since := issuance.Since.UTC().Format(time.RFC3339)
	if v.Now.Sub(issuance.Since) > issuingTimeout {
		return bad(v1alpha1.ReasonCertificateOverdue, fmt.Sprintf(
			"Certificate %s has been awaited for more than %s, since %s: %s. See `kubectl describe certificate %s`.", name, issuingTimeout, since, issuance.Said, name))
	}
	return underway(v1alpha1.ReasonCertificatesPending, fmt.Sprintf("Waiting for cert-manager to issue certificate %s, since %s: %s.", name, since, issuance.Said))
}

// sentence ends a text as a sentence, once.
func sentence(text string) string {
	return strings.TrimRight(text, ". ") + "."
}

// capitalized begins a sentence.
func capitalized(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// bounded keeps a message within what people read, and a status within its size, with
// room for so much more.
func bounded(message string, room int) string { return shortened(message, 1024-room) }

// shortened cuts a text that has more than so many bytes, and shows that it did.
func shortened(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-len(" …")], "") + " …"
}
