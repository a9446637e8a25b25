package envtest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/controllers"
)

// With the policy, the webhook, both or none of them, and while nobody serves the webhook:
// a member gets the Secret of its own name, or is refused, or can never start. No other pod
// is changed, or refused, ever.
func TestPodIdentity(t *testing.T) {
	if podIdentity == controllers.ByPolicy {
		check(t, identityWebhook.prepare(t.Context()))
		check(t, identityWebhook.start(t.Context()))
	}
	t.Cleanup(func() {
		remove(t, append(policyObjectsIfServed(), webhookObjects()...)...)
		if podIdentity == controllers.ByPolicy {
			identityWebhook.stop()
		} else if identityWebhook.command == nil {
			check(t, identityWebhook.start(context.Background()))
		}
		installAdmission(t)
	})
	const refused = "refused"
	for _, situation := range []struct {
		name                  string
		policy, webhook, down bool
		member, nameless      string
	}{
		{name: "policy", policy: true, member: "chat-1-tls", nameless: refused},
		{name: "webhook", webhook: true, member: "chat-1-tls", nameless: refused},
		{name: "webhook that nobody serves", webhook: true, down: true, member: refused, nameless: refused},
		{name: "both", policy: true, webhook: true, member: "chat-1-tls", nameless: refused},
		{name: "both, nobody serves the webhook", policy: true, webhook: true, down: true, member: "chat-1-tls", nameless: refused},
		{name: "neither", member: placeholder, nameless: placeholder},
	} {
		t.Run(situation.name, func(t *testing.T) {
			if situation.policy && !served.AdmissionPolicies {
				t.Skip("this Kubernetes has no MutatingAdmissionPolicy")
			}
			remove(t, append(policyObjectsIfServed(), webhookObjects()...)...)
			awaitAdmission(t, placeholder)
			// One after the other, so that each was seen to be in force.
			if situation.webhook {
				check(t, applyAdmission(t.Context(), controllers.ByWebhook))
				awaitAdmission(t, "trial-tls")
			}
			if situation.down {
				identityWebhook.stop()
				defer func() { check(t, identityWebhook.start(context.Background())) }()
			}
			if situation.policy {
				check(t, applyAdmission(t.Context(), controllers.ByPolicy))
				awaitAdmission(t, "trial-tls")
			}
			for name, pod := range podsOfAllKinds() {
				want := map[string]string{"a member": situation.member, "a member made by hand": situation.member, "a member without a name": situation.nameless}[name]
				if want == "" {
					want = pod.Spec.Volumes[0].Secret.SecretName
				}
				got, err := admitted(t.Context(), pod)
				if got != want {
					t.Errorf("%s: %s, want %s (%v)", name, got, want, err)
				}
				if situation.down && !situation.policy && want == refused && !strings.Contains(fmt.Sprint(err), "member-identity.erlang-operator.dev") {
					t.Errorf("%s: the refusal does not name the webhook: %v", name, err)
				}
			}
		})
	}
}

func policyObjectsIfServed() []client.Object {
	if !served.AdmissionPolicies {
		return nil
	}
	return policyObjects()
}

// podsOfAllKinds are what admission has to tell apart.
func podsOfAllKinds() map[string]*corev1.Pod {
	changed := func(change func(pod *corev1.Pod)) *corev1.Pod {
		pod := member("chat-1")
		change(pod)
		return pod
	}
	return map[string]*corev1.Pod{
		"a member":              member("chat-1"),
		"a member made by hand": changed(func(pod *corev1.Pod) { pod.Labels["app"] = "debug" }),
		"a member without a name": changed(func(pod *corev1.Pod) {
			pod.Name, pod.GenerateName = "", "chat-"
		}),
		"a member that names the Secret of another": changed(func(pod *corev1.Pod) { pod.Spec.Volumes[0].Secret.SecretName = "chat-2-tls" }),
		"the placeholder in another volume":         changed(func(pod *corev1.Pod) { pod.Spec.Volumes[0].Name = "tls" }),
		"a probe":                                   changed(func(pod *corev1.Pod) { pod.Labels["erlang-operator.dev/component"] = "probe" }),
		"a pod of no cluster":                       changed(func(pod *corev1.Pod) { delete(pod.Labels, "erlang-operator.dev/cluster") }),
		"a pod without labels":                      changed(func(pod *corev1.Pod) { pod.Labels = nil }),
	}
}

// admitted is the Secret that a pod mounts once it is created, or that it was refused.
func admitted(ctx context.Context, pod *corev1.Pod) (string, error) {
	if err := admin.Create(ctx, pod, client.DryRunAll); err != nil {
		return "refused", err
	}
	return pod.Spec.Volumes[0].Secret.SecretName, nil
}
