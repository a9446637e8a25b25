package status

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// mesh: the probe verified every expected node, and they are one mesh.
func (v view) mesh() finding {
	mesh := v.Cluster.Status.Mesh
	switch {
	case v.Replicas() == 0:
		return good(v1alpha1.ReasonScaledToZero, "No node is asked for.")
	case mesh == nil:
		return underway(v1alpha1.ReasonProbeNotReporting, "The probe has not reported yet. "+v.probeAdvice())
	case v.Now.Sub(mesh.HeartbeatTime.Time) > HeartbeatTimeout:
		return bad(v1alpha1.ReasonProbeNotReporting, fmt.Sprintf("The probe has been silent for more than %s, so nothing is proven any more. %s", HeartbeatTimeout, v.probeAdvice()))
	}
	pods := v.Names.Pods(v.Replicas())
	var failing []*v1alpha1.NodeStatus
	for _, pod := range pods {
		switch node := v.Node(pod); {
		case node == nil:
			return underway(v1alpha1.ReasonProgressing, fmt.Sprintf("The probe has not verified pod %s yet.", pod))
		case !node.Verified():
			failing = append(failing, node)
		}
	}
	stale, isStale := v.notServed()
	switch {
	case len(failing) > 0 && v.starting(failing):
		return underway(failing[0].Reason, describe(failing))
	case len(failing) > 0:
		return bad(failing[0].Reason, describe(failing))
	case isStale && !stale.underway:
		return stale
	case mesh.Components > 1:
		return bad(v1alpha1.ReasonPartitioned, fmt.Sprintf(
			"The nodes fall into %d parts, though each of them is verified: %s. The probe joins them again. %s", mesh.Components, v.missing(), v.hindrance()))
	case v.links() < v.expectedLinks() && v.oneSided() != "":
		return bad(v1alpha1.ReasonAsymmetricLink, fmt.Sprintf(
			"%d of %d links are established: %s. One end believes in a link that the other does not have. The probe connects them again. %s", v.links(), v.expectedLinks(), v.oneSided(), v.hindrance()))
	case v.links() < v.expectedLinks():
		return bad(v1alpha1.ReasonLinkMissing, fmt.Sprintf(
			"%d of %d links are established: %s. The probe connects them again. %s", v.links(), v.expectedLinks(), v.missing(), v.hindrance()))
	}
	return good(v1alpha1.ReasonMeshVerified, fmt.Sprintf("%d of %d links are established.", v.links(), v.expectedLinks()))
}

// startingTime is how long a new pod may take until its node answers before anybody
// is told of trouble.
const startingTime = 2 * time.Minute

// starting says that the nodes that fail have never joined, and are too young to
// be blamed.
func (v view) starting(failing []*v1alpha1.NodeStatus) bool {
	return !slices.ContainsFunc(failing, func(node *v1alpha1.NodeStatus) bool {
		pod := v.Pod(node.Pod)
		return pod == nil || told(pod) || v.Now.Sub(pod.CreationTimestamp.Time) > startingTime
	})
}

func (v view) probeAdvice() string {
	there := slices.ContainsFunc(v.Owned, func(object state.Object) bool {
		return object.GetObjectKind().GroupVersionKind().Kind == "Deployment" && object.GetName() == v.Names.Probe()
	})
	return v.advice(there, "deployment", v.Names.Probe())
}

// advice is where to look for what should come of an object: at it, or, if that is
// held back, at what holds it.
func (v view) advice(there bool, kind, name string) string {
	if !there && len(v.plan.Holds) > 0 {
		return capitalized(sentence(v.plan.Holds[0].Message))
	}
	return fmt.Sprintf("See `kubectl describe %[1]s %[2]s`, and `kubectl logs %[1]s/%[2]s` if it runs.", kind, name)
}

// describe tells the first failure whole, and of the others how many and which.
func describe(failing []*v1alpha1.NodeStatus) string {
	first := failing[0]
	text := fmt.Sprintf("Pod %s, stage %s: %s", first.Pod, first.Stage, sentence(first.Message))
	if len(failing) == 1 {
		return text
	}
	others := make([]string, 0, len(failing)-1)
	for _, node := range failing[1:] {
		others = append(others, fmt.Sprintf("%s (%s)", node.Pod, node.Reason))
	}
	return fmt.Sprintf("%s Also: %s.", text, strings.Join(others, ", "))
}

// missing names the links that are not there.
func (v view) missing() string {
	var parts []string
	for _, pod := range v.Names.Pods(v.Replicas()) {
		if node := v.Node(pod); node != nil && len(node.MissingLinks) > 0 {
			parts = append(parts, fmt.Sprintf("%s is not linked to %s", pod, strings.Join(node.MissingLinks, ", ")))
		}
	}
	return strings.Join(parts, "; ")
}

// oneSided names a link of which one end only reports it; empty when there is none.
func (v view) oneSided() string {
	for _, pod := range v.Names.Pods(v.Replicas()) {
		node := v.Node(pod)
		if node == nil {
			continue
		}
		for _, other := range node.MissingLinks {
			peer := v.Node(other)
			if peer != nil && !slices.Contains(peer.MissingLinks, pod) && len(peer.MissingLinks) < v1alpha1.MaxMissingLinks {
				return fmt.Sprintf("%s is linked to %s, and not the other way round", other, pod)
			}
		}
	}
	return ""
}

// hindrance is what the probe says of the first node that it could not have linked.
func (v view) hindrance() string {
	for _, pod := range v.Names.Pods(v.Replicas()) {
		if node := v.Node(pod); node != nil && len(node.MissingLinks) > 0 && node.Message != "" {
			return sentence(node.Message)
		}
	}
	return "If this stays, a node cannot open connections of its own: see its log."
}

// mutualTLS: the probe tried what must be refused, and every node refused it.
func (v view) mutualTLS() finding {
	for _, pod := range v.Names.Pods(v.Replicas()) {
		node := v.Node(pod)
		switch {
		case node == nil || node.Refusals == nil || node.Refusals.Incarnation != node.Incarnation:
			return finding{status: metav1.ConditionUnknown, reason: v1alpha1.ReasonAwaitingProof, underway: true,
				message: fmt.Sprintf("What pod %s must refuse has not been tried since it started.", pod)}
		case len(node.Refusals.Accepted) > 0:
			return bad(v1alpha1.ReasonMutualTLSNotEnforced, fmt.Sprintf(
				"Pod %s lets in what it must refuse (%s): anybody who reaches its distribution port may run code in it. Its image or its command overrides the TLS options of the operator; see the troubleshooting guide, MutualTLSNotEnforced.",
				pod, joinTrials(node.Refusals.Accepted)))
		}
	}
	return good(v1alpha1.ReasonRefusalsProven, "Every node refuses a peer without certificate, with one of a foreign CA, in plaintext, or with a wrong cookie.")
}

func joinTrials(trials []v1alpha1.RefusalTrial) string {
	words := make([]string, 0, len(trials))
	for _, trial := range trials {
		words = append(words, string(trial))
	}
	return strings.Join(words, ", ")
}
