package identity_test

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"github.com/erlang-operator/erlang-operator/controllers/internal/beam"
	"github.com/erlang-operator/erlang-operator/controllers/internal/identity"
)

const placeholder = "erlang-operator-admission-policy-missing"

// Whatever a pod is like, it gets at most the Secret of its own name, in place of nothing
// but the placeholder, and never starts with the placeholder as a member that is admitted.
func TestPodGetsItsOwnSecretOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pod := drawPod(t)
		before := pod.DeepCopy()
		change, err := identity.Assign(pod)
		if !reflect.DeepEqual(pod, before) {
			t.Fatal("the decision has changed the pod")
		}
		_, inCluster := pod.Labels["erlang-operator.dev/cluster"]
		member := inCluster && pod.Labels["erlang-operator.dev/component"] == "node" && beam.LacksIdentity(pod.Spec)
		if member != (change != nil || err != nil) {
			t.Fatalf("a member: %t; change: %+v, %v", member, change, err)
		}
		if change == nil {
			return
		}
		volume := &pod.Spec.Volumes[change.Volume]
		if volume.Name != "erlang-operator-tls" || volume.Secret.SecretName != placeholder || change.Secret != pod.Name+"-tls" {
			t.Fatalf("volume %+v gets Secret %s in pod %s", volume, change.Secret, pod.Name)
		}
		volume.Secret.SecretName = change.Secret
		if again, err := identity.Assign(pod); again != nil || err != nil {
			t.Fatalf("the changed pod is changed again: %+v, %v", again, err)
		}
	})
}

func drawPod(t *rapid.T) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: rapid.SampledFrom([]string{"", "chat-0", "chat-1", "chat-0-tls", "other"}).Draw(t, "name"),
		Labels: rapid.MapOfN(rapid.SampledFrom([]string{"erlang-operator.dev/cluster", "erlang-operator.dev/component", "app"}),
			rapid.SampledFrom([]string{"", "node", "probe", "chat"}), 0, 3).Draw(t, "labels"),
	}}
	// The API server refuses two volumes of one name.
	for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"erlang-operator-tls", "erlang-operator-cookie", "data"}), rapid.ID[string]).Draw(t, "volumes") {
		volume := corev1.Volume{Name: name}
		if secret := rapid.SampledFrom([]string{"", placeholder, "chat-1-tls", "mine"}).Draw(t, "secret"); secret != "" {
			volume.Secret = &corev1.SecretVolumeSource{SecretName: secret}
		}
		pod.Spec.Volumes = append(pod.Spec.Volumes, volume)
	}
	return pod
}

// Policy and webhook match the same pods, by the same words.
func TestPolicyAndWebhookMatchTheSamePods(t *testing.T) {
	var policy admissionv1.MutatingAdmissionPolicy
	var configuration admissionv1.MutatingWebhookConfiguration
	read(t, "../../../config/admission/member_identity.yaml", "MutatingAdmissionPolicy", &policy)
	read(t, "../../../config/webhook/configuration.yaml", "MutatingWebhookConfiguration", &configuration)
	if len(configuration.Webhooks) != 1 {
		t.Fatalf("%d webhooks", len(configuration.Webhooks))
	}
	webhook := configuration.Webhooks[0]
	for name, pair := range map[string][2]any{
		"name":               {policy.Name, configuration.Name},
		"objectSelector":     {policy.Spec.MatchConstraints.ObjectSelector, webhook.ObjectSelector},
		"matchConditions":    {policy.Spec.MatchConditions, webhook.MatchConditions},
		"rules":              {policy.Spec.MatchConstraints.ResourceRules[0].RuleWithOperations, webhook.Rules[0]},
		"failurePolicy":      {*policy.Spec.FailurePolicy, *webhook.FailurePolicy},
		"reinvocationPolicy": {policy.Spec.ReinvocationPolicy, *webhook.ReinvocationPolicy},
	} {
		if one, other := toJSON(t, pair[0]), toJSON(t, pair[1]); one != other {
			t.Errorf("%s of the policy: %s\n%s of the webhook: %s", name, one, name, other)
		}
	}
	if !strings.Contains(policy.Spec.MatchConditions[0].Expression, placeholder) || *webhook.FailurePolicy != admissionv1.Fail {
		t.Errorf("matchConditions %v, failurePolicy %s", policy.Spec.MatchConditions, *webhook.FailurePolicy)
	}
}

func read(t *testing.T, file, kind string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		var object metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			t.Fatal(err)
		}
		if object.Kind != kind {
			continue
		}
		if err := yaml.UnmarshalStrict([]byte(document), into); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("%s has no %s", file, kind)
}

func toJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
