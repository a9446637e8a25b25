package status

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// podRetryInterval is how often it is looked up why pods are missing, or not Ready: no watch
// reports that.
const podRetryInterval = 15 * time.Second

// notCreated is why the first of the missing pods could not be created.
func (p pass) notCreated() (assessment, bool) {
	for _, pod := range p.MissingPods() {
		if slices.Contains(p.NamesTaken, pod) {
			return p.nameTaken(pod), true
		}
		if cause, failed := p.PodFailures[pod]; failed {
			return p.creationFailed(pod, cause), true
		}
	}
	return assessment{}, false
}

// nameTaken is that another pod has the name of a missing one.
func (p pass) nameTaken(pod string) assessment {
	selector := plan.Selector(p.Names.Cluster, plan.ComponentNode)
	return isFalse(v1alpha1.ReasonNameConflict, fmt.Sprintf("Pod %s cannot be created: a pod of that name exists without the labels of the cluster. "+
		"If they were removed, restore them with `kubectl label --namespace=%s --overwrite pod %s %s`; otherwise delete that pod.",
		pod, p.Names.Namespace, pod, strings.ReplaceAll(labels.SelectorFromSet(selector).String(), ",", " ")))
}

// creationFailed is a fault if the API server has refused the pod, and else tried again.
func (p pass) creationFailed(pod, cause string) assessment {
	quote, see := sentence(state.Shortened(repeatable(cause), state.MaxCause)), fmt.Sprintf("See `kubectl describe statefulset %s`.", p.Names.StatefulSet())
	if refused.MatchString(cause) {
		return isFalse(v1alpha1.ReasonRejected, fmt.Sprintf("Pod %s cannot be created: %s %s %s", pod, quote, remedy(cause), see))
	}
	if strings.Contains(cause, identityWebhook) {
		quote += " The API server cannot call the webhook of the manager: check that its pods are Ready, and that the network lets the API server connect to their port 9443."
	}
	return pending(v1alpha1.ReasonPodsPending, fmt.Sprintf("Pod %s could not be created, which is tried again: %s %s", pod, quote, see))
}

// identityWebhook is what the API server says when it cannot call the webhook of config/webhook.
const identityWebhook = `failed calling webhook "member-identity.erlang-operator.dev"`

// refused matches the answers that the API server gives again until somebody acts.
var refused = regexp.MustCompile(`is forbidden|is invalid|denied (the )?request`)

// remedies are what to do about a refusal of a pod, by what the API server says: something
// outside of the pod, or a change of the template, or of spec.probe if it is the probe's.
var remedies = []struct {
	says                     *regexp.Regexp
	outside, template, probe string
}{
	{regexp.MustCompile(`serviceaccount "([^"]+)" not found`), "Create ServiceAccount $1", "change template.spec.serviceAccountName", ""},
	{regexp.MustCompile(`no PriorityClass with name (\S+) was found`), "Create PriorityClass $1", "change template.spec.priorityClassName", "change spec.probe.priorityClassName"},
	{regexp.MustCompile(`RuntimeClass "([^"]+)" not found`), "Create RuntimeClass $1", "change template.spec.runtimeClassName", ""},
	{regexp.MustCompile(`exceeded quota: ([^,]+),`), "Raise ResourceQuota $1", "ask for less: replicas, template.spec.containers[].resources, volumeClaimTemplates", "ask for less in spec.probe.resources"},
	{regexp.MustCompile(`failed quota: (\S+): must specify`), "Give what ResourceQuota $1 asks for a default by a LimitRange", "set it in template.spec.containers[].resources", "set it in spec.probe.resources"},
	{regexp.MustCompile(`(?:imum \S+ usage|limit to request ratio) per `), "Change the LimitRange", "change template.spec.containers[].resources or volumeClaimTemplates", "change spec.probe.resources"},
	{regexp.MustCompile(`violates PodSecurity "([^"]+)"`), "Change the Pod Security level of the namespace, which is $1", "change template.spec.securityContext and that of each container", ""},
	{regexp.MustCompile(`admission webhook "([^"]+)" denied`), "Change the policy of admission webhook $1", "change the field of the template that it objects to", whatPoliciesAskFor},
	{regexp.MustCompile(`ValidatingAdmissionPolicy '([^']+)'`), "Change ValidatingAdmissionPolicy $1", "change the field of the template that it objects to", whatPoliciesAskFor},
	{regexp.MustCompile(``), "Change the policy that forbids it", "change the field of the template that it names", whatPoliciesAskFor},
}

// whatPoliciesAskFor of the probe's pod can be given to it.
const whatPoliciesAskFor = "set what it asks for in spec.probe.labels, spec.probe.annotations, spec.probe.resources or another field of spec.probe"

// remedy is what to do about a refusal of a member's pod.
func remedy(cause string) string {
	outside, template, _ := remedyOf(cause)
	return outside + ", or " + template + "."
}

func remedyOf(cause string) (outside, template, probe string) {
	for _, r := range remedies {
		if match := r.says.FindStringSubmatchIndex(cause); match != nil {
			return string(r.says.ExpandString(nil, r.outside, cause, match)), r.template, r.probe
		}
	}
	return "", "", ""
}
