package status_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// Each refusal of a pod, in the words of the API server, has a remedy that names the field.
func TestRemedyOfARefusedPod(t *testing.T) {
	for cause, want := range map[string]string{
		`error looking up service account shop/web: serviceaccount "web" not found`:         "Create ServiceAccount web, or change template.spec.serviceAccountName.",
		`no PriorityClass with name urgent was found`:                                       "Create PriorityClass urgent, or change template.spec.priorityClassName.",
		`pod rejected: RuntimeClass "gvisor" not found`:                                     "Create RuntimeClass gvisor, or change template.spec.runtimeClassName.",
		`exceeded quota: compute, requested: pods=1, used: pods=2, limited: pods=2`:         "Raise ResourceQuota compute, or ask for less: replicas, template.spec.containers[].resources",
		`failed quota: compute: must specify limits.cpu for: chat`:                          "Give what ResourceQuota compute asks for a default by a LimitRange, or set it in template.spec.containers[].resources.",
		`maximum cpu usage per Container is 1, but limit is 2`:                              "Change the LimitRange, or change template.spec.containers[].resources or volumeClaimTemplates.",
		`cpu max limit to request ratio per Container is 2, but provided ratio is 4.000000`: "Change the LimitRange, or",
		`violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false`:       "Change the Pod Security level of the namespace, which is restricted:latest, or change template.spec.securityContext and that of each container.",
		`ValidatingAdmissionPolicy 'owners' with binding 'all' denied request: no team set`: "Change ValidatingAdmissionPolicy owners, or change the field of the template that it objects to.",
		`the namespace does not want it`:                                                    "Change the policy that forbids it, or change the field of the template that it names.",
	} {
		expectRejected(t, `pods "chat-2" is forbidden: `+cause, cause, want)
	}
	webhook := `admission webhook "validate.example.com" denied the request: no label team`
	expectRejected(t, webhook, webhook, "Change the policy of admission webhook validate.example.com, or change the field")
	long := `Pod "chat-2" is invalid: ` + strings.Repeat("spec.containers[0].env[0].name: Invalid value. ", 100)
	expectRejected(t, long, "is invalid: spec.containers[0].env[0].name", "…. Change the policy that forbids it", "`kubectl describe statefulset chat`", "#rejected")
}

// A pod that has the name of a member's, and not its labels, is named with the remedy.
func TestNameOfAPodThatIsTaken(t *testing.T) {
	s := whole(3)
	s.without("chat-1", "")
	s.NamesTaken = []string{"chat-1"}
	nodes := meta.FindStatusCondition(s.describe(t).Status.Conditions, v1alpha1.ConditionNodesReady)
	command := "`kubectl label --namespace=shop --overwrite pod chat-1 erlang-operator.dev/cluster=chat erlang-operator.dev/component=node`"
	if nodes.Status != metav1.ConditionFalse || nodes.Reason != v1alpha1.ReasonNameConflict || !strings.Contains(nodes.Message, command) {
		t.Errorf("%+v", nodes)
	}
}

func expectRejected(t *testing.T, cause string, contains ...string) {
	t.Helper()
	s := whole(3)
	s.without("chat-2", cause)
	nodes := meta.FindStatusCondition(s.describe(t).Status.Conditions, v1alpha1.ConditionNodesReady)
	if nodes.Status != metav1.ConditionFalse || nodes.Reason != v1alpha1.ReasonRejected {
		t.Errorf("%s: %s, %s", cause, nodes.Status, nodes.Reason)
	}
	for _, text := range contains {
		if !strings.Contains(nodes.Message, text) {
			t.Errorf("the message does not contain %q: %s", text, nodes.Message)
		}
	}
}
