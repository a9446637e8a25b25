package status

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// mesh: the probe verified every expected node, and they are one mesh.
func (p pass) mesh() assessment {
	mesh := p.Cluster.Status.Mesh
	switch {
	case p.Replicas() == 0:
		return isTrue(v1alpha1.ReasonScaledToZero, "The spec asks for no nodes.")
	case mesh == nil:
		return p.neverReported()
	case p.ProbeIsSilent():
		return isFalse(v1alpha1.ReasonProbeNotReporting, fmt.Sprintf("The probe has not reported for more than %s, so the state of the mesh is unknown. %s", state.HeartbeatTimeout, p.silentProbe()))
	}
	if lost, found := p.lostMachines(); found {
		return lost
	}
	pods := p.Names.Pods(p.Replicas())
	var failing []*v1alpha1.NodeStatus
	for _, pod := range pods {
		switch node := p.Node(pod); {
		case node == nil:
			return pending(v1alpha1.ReasonProgressing, fmt.Sprintf("The probe has not verified pod %s yet.", pod))
		case !node.Verified():
			failing = append(failing, node)
		}
	}
	unserved, isUnserved := p.notServed()
	switch faults := slices.DeleteFunc(slices.Clone(failing), p.awaitsDNS); {
	case len(faults) > 0 && p.starting(faults):
		return pending(faults[0].Reason, describeFailures(faults))
	case len(faults) > 0:
		return isFalse(faults[0].Reason, describeFailures(faults))
	case isUnserved && !unserved.pending:
		return unserved
	case len(failing) > 0:
		return pending(v1alpha1.ReasonProgressing, fmt.Sprintf("DNS may take %s to have a new pod. %s", dnsTime, describeFailures(failing)))
	case mesh.Components > 1:
		return isFalse(v1alpha1.ReasonPartitioned, fmt.Sprintf(
			"The nodes are partitioned into %d components, although each of them is verified: %s%s. %s", mesh.Components, p.components(), p.missing(), p.whoLinks()))
	case p.links() < p.expectedLinks() && p.oneSided() != "":
		return isFalse(v1alpha1.ReasonAsymmetricLink, fmt.Sprintf(
			"%d of %d links are established: %s. One end reports a link that the other does not. %s", p.links(), p.expectedLinks(), p.oneSided(), p.whoLinks()))
	case p.links() < p.expectedLinks():
		return isFalse(v1alpha1.ReasonLinkMissing, fmt.Sprintf(
			"%d of %d links are established: %s. %s", p.links(), p.expectedLinks(), p.missing(), p.whoLinks()))
	}
	return isTrue(v1alpha1.ReasonMeshVerified, fmt.Sprintf("%d of %d links are established.", p.links(), p.expectedLinks()))
}

// dnsTime is how long after its start a pod may lack its DNS record, or have that of the pod before it, before that
// is a fault: DNS servers may say for as long what they were told before (`cache 30` of CoreDNS).
const dnsTime = 30 * time.Second

// awaitsDNS reports whether a node's name does not resolve, and its pod is new or terminating.
func (p pass) awaitsDNS(node *v1alpha1.NodeStatus) bool {
	pod := p.Pod(node.Pod)
	return node.Stage == v1alpha1.StageResolve && (pod.DeletionTimestamp != nil || !p.Now.After(dnsDue(pod)))
}

// dnsDue is when DNS should have a pod: its address is as old as its containers, or younger than itself.
func dnsDue(pod *corev1.Pod) time.Time {
	since := pod.CreationTimestamp.Time
	for _, container := range state.ContainerStatuses(pod) {
		if running := container.State.Running; running != nil && running.StartedAt.After(since) {
			since = running.StartedAt.Time
		}
	}
	return since.Add(dnsTime)
}

// starting reports whether the nodes that fail have never joined, and may still be
// starting.
func (p pass) starting(failing []*v1alpha1.NodeStatus) bool {
	return !slices.ContainsFunc(failing, func(node *v1alpha1.NodeStatus) bool {
		pod := p.Pod(node.Pod)
		return pod == nil || hasJoined(pod) || p.Now.Sub(pod.CreationTimestamp.Time) > state.StartingTime
	})
}

// advice is where to look for the cause: at an object, or, if that is held back, at what
// it waits for.
func (p pass) advice(there bool, kind, name string) string {
	if !there && len(p.plan.Holds) > 0 {
		return sentence(p.plan.Holds[0].Message)
	}
	return fmt.Sprintf("See `kubectl describe %[1]s %[2]s`, and `kubectl logs %[1]s/%[2]s` if it runs.", kind, name)
}

// describeFailures is the first failure in full, and the others by name.
func describeFailures(failing []*v1alpha1.NodeStatus) string {
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

// components names the pods of each component; empty when a node reports too few of its
// missing links for that.
func (p pass) components() string {
	var components [][]string
	for _, pod := range p.Names.Pods(p.Replicas()) {
		if node := p.Node(pod); node == nil || len(node.MissingLinks) == v1alpha1.MaxMissingLinks {
			return ""
		}
		linked := [][]string{{}} // The pod's component is the first of all that it is linked to.
		for _, component := range components {
			if slices.ContainsFunc(component, func(other string) bool { return p.linked(pod, other) }) {
				linked[0] = append(linked[0], component...)
			} else {
				linked = append(linked, component)
			}
		}
		linked[0] = append(linked[0], pod)
		components = linked
	}
	names := make([]string, 0, len(components))
	for _, component := range components {
		slices.Sort(component)
		names = append(names, strings.Join(component, ", "))
	}
	slices.Sort(names)
	return strings.Join(names, " | ") + "; "
}

// linked reports whether both ends report a link.
func (p pass) linked(one, other string) bool {
	return !slices.Contains(p.Node(one).MissingLinks, other) && !slices.Contains(p.Node(other).MissingLinks, one)
}

// missing names the missing links.
func (p pass) missing() string {
	var parts []string
	for _, pod := range p.Names.Pods(p.Replicas()) {
		if node := p.Node(pod); node != nil && len(node.MissingLinks) > 0 {
			parts = append(parts, fmt.Sprintf("%s is not linked to %s", pod, strings.Join(node.MissingLinks, ", ")))
		}
	}
	return strings.Join(parts, "; ")
}

// oneSided names a link that only one end reports; empty when there is none.
func (p pass) oneSided() string {
	for _, pod := range p.Names.Pods(p.Replicas()) {
		node := p.Node(pod)
		if node == nil {
			continue
		}
		for _, other := range node.MissingLinks {
			peer := p.Node(other)
			if peer != nil && !slices.Contains(peer.MissingLinks, pod) && len(peer.MissingLinks) < v1alpha1.MaxMissingLinks {
				return fmt.Sprintf("%s is linked to %s, and not the other way round", other, pod)
			}
		}
	}
	return ""
}

// whoLinks is who makes missing links, and why the last attempt failed.
func (p pass) whoLinks() string {
	if p.Cluster.Spec.Suspend {
		return "Nobody reconnects them while suspend is true, unless the application does."
	}
	if p.Cluster.Spec.Distribution.Formation == v1alpha1.FormationApplication {
		return "The application is to connect them, because distribution.formation is Application. If this persists, see its configuration, and the logs of the nodes."
	}
	return "The probe reconnects them. " + p.linkDiagnosis()
}

// linkDiagnosis is the probe's message about the first node that it could not link.
func (p pass) linkDiagnosis() string {
	for _, pod := range p.Names.Pods(p.Replicas()) {
		if node := p.Node(pod); node != nil && len(node.MissingLinks) > 0 && node.Message != "" {
			return sentence(node.Message)
		}
	}
	return "If this persists, a node cannot open connections itself: see its log."
}
