package status

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// neverReported is that the probe has not reported: a fault if its pod cannot run.
func (p pass) neverReported() assessment {
	const said = "The probe has not reported yet. "
	if cause, fails := p.probeFails(); fails {
		return isFalse(v1alpha1.ReasonProbeNotReporting, said+cause)
	}
	return pending(v1alpha1.ReasonProbeNotReporting, said+p.probeAdvice())
}

// probeAdvice is why the probe's pod does not run, or where to look for the cause.
func (p pass) probeAdvice() string {
	if cause, fails := p.probeFails(); fails {
		return cause
	}
	return p.advice(p.probeDeployment() != nil, "deployment", p.Names.Probe())
}

// probeFails is why the probe's pod cannot be created, does not run or cannot report, and what to
// do about it: its template is not the user's, but for what spec.probe has.
func (p pass) probeFails() (string, bool) {
	if deployment := p.probeDeployment(); deployment != nil {
		for _, condition := range deployment.Status.Conditions {
			if condition.Type == appsv1.DeploymentReplicaFailure && condition.Status == corev1.ConditionTrue {
				return p.probeNotCreated(condition.Message), true
			}
		}
	}
	for i := range p.ProbePods {
		pod := &p.ProbePods[i]
		if !strings.HasPrefix(pod.Name, p.Names.Probe()+"-") || pod.DeletionTimestamp != nil {
			continue // not the Deployment's, whatever its labels, or not for long
		}
		if cause := p.probeHeldBack(pod); cause != "" {
			return fmt.Sprintf("%s See `kubectl describe pod %s`.", cause, pod.Name), true
		}
	}
	switch {
	case p.LeaseTaken:
		return fmt.Sprintf("It needs the name of the Lease %[1]s, which does not belong to this ErlangCluster. If nothing else needs that, delete it with `kubectl delete --namespace=%[2]s lease %[1]s`. Otherwise give this ErlangCluster another name.",
			p.Names.Probe(), p.Names.Namespace), true
	case p.ForeignHolder != "" && p.ProbeIsSilent():
		return fmt.Sprintf("The Lease %s is held by %q, which is no pod of the probe. End what renews it, or delete the Lease.",
			p.Names.Probe(), p.quoted(p.ForeignHolder)), true
	}
	return "", false
}

func (p pass) probeDeployment() *appsv1.Deployment {
	for _, object := range p.Owned {
		if deployment, ok := object.(*appsv1.Deployment); ok && deployment.Name == p.Names.Probe() {
			return deployment
		}
	}
	return nil
}

func (p pass) probeNotCreated(cause string) string {
	quote := sentence(state.Shortened(cause, state.MaxCause))
	if outside, _, inSpec := remedyOf(cause); refused.MatchString(cause) && inSpec != "" {
		quote += fmt.Sprintf(" %s, or %s.", outside, inSpec)
	} else if refused.MatchString(cause) {
		quote += " " + outside + "."
	}
	return fmt.Sprintf("Its pod cannot be created: %s See `kubectl describe deployment %s`.", quote, p.Names.Probe())
}

// probeHeldBack is why a pod of the probe does not run, and what to do about it; empty if it
// runs, or if that is not known.
func (p pass) probeHeldBack(pod *corev1.Pod) string {
	if scheduled := podCondition(pod, corev1.PodScheduled); scheduled != nil && scheduled.Status == corev1.ConditionFalse {
		return fmt.Sprintf("Its pod cannot be scheduled: %s. %s", p.quoted(scheduled.Message), remedyOfScheduling(scheduled.Message))
	}
	for _, container := range state.ContainerStatuses(pod) {
		if end := p.lastEnd(container); end != nil && end.Reason == "OOMKilled" {
			return "Its container needs more memory than it may have. Raise resources.limits.memory in spec.probe.resources."
		}
		if waiting := container.State.Waiting; waiting != nil && slices.Contains(pullFailures, waiting.Reason) {
			return fmt.Sprintf("Its image cannot be pulled: %s. %s", p.quoted(waiting.Message), p.remedyOfPulling(pod))
		}
		if message, stuck := p.notStarted(container); stuck {
			return "Its pod cannot run: " + message
		}
	}
	if held := p.heldBack(pod); pod.Status.Phase == corev1.PodPending && held != "" {
		return fmt.Sprintf("Its pod is Pending%s.", held)
	}
	return ""
}

// pullFailures are the reasons for which a container waits that has no image.
var pullFailures = []string{"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"}

var pullSecretMissing = regexp.MustCompile(`Unable to retrieve some image pull secrets \(([^)]*)\)`)

// remedyOfPulling names the Secrets that are missing, which only an event tells.
func (p pass) remedyOfPulling(pod *corev1.Pod) string {
	for _, event := range slices.Backward(p.PodEvents[pod.Name]) {
		if missing := pullSecretMissing.FindStringSubmatch(event.Note); missing != nil {
			return fmt.Sprintf("The kubelet cannot retrieve the Secrets of its imagePullSecrets: %s. Create them in namespace %s, or change spec.probe.imagePullSecrets.",
				p.quoted(missing[1]), p.Names.Namespace)
		}
	}
	return "If the registry needs credentials, name a Secret that has them in spec.probe.imagePullSecrets; else correct the image of the manager, or its --probe-image."
}

// schedulingFields are the fields of spec.probe by which a machine fits, by what the
// scheduler says against those that there are.
var schedulingFields = []struct{ says, field string }{
	{"untolerated taint", "spec.probe.tolerations"},
	{"didn't match Pod's node affinity/selector", "spec.probe.nodeSelector or spec.probe.affinity"},
	{"didn't match pod affinity", "spec.probe.affinity"},
	{"didn't match pod anti-affinity", "spec.probe.affinity"},
	{"didn't match pod topology spread constraints", "spec.probe.topologySpreadConstraints"},
	{"Insufficient", "spec.probe.resources"},
}

func remedyOfScheduling(message string) string {
	var fields []string
	for _, known := range schedulingFields {
		if strings.Contains(message, known.says) && !slices.Contains(fields, known.field) {
			fields = append(fields, known.field)
		}
	}
	if len(fields) == 0 {
		fields = []string{"spec.probe.tolerations, spec.probe.nodeSelector or spec.probe.affinity"}
	}
	return fmt.Sprintf("Set %s so that a machine fits, or change the machines.", strings.Join(fields, ", or "))
}
