//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

const podCertificate = "tls: {delivery: PodCertificate}"

// requestsFor are the requests of kubelets for the certificate of a pod.
func requestsFor(ctx context.Context, namespace, pod string) ([]certificatesv1.PodCertificateRequest, error) {
	var all certificatesv1.PodCertificateRequestList
	err := kubectl.Get(ctx, &all, "podcertificaterequests", "-n", namespace)
	return slices.DeleteFunc(all.Items, func(r certificatesv1.PodCertificateRequest) bool { return r.Spec.PodName != pod }), err
}

// A member's key is on its machine only. A pod that is not a member gets no certificate,
// whatever its ServiceAccount, name and labels.
func TestPodCertificate(t *testing.T) {
	t.Parallel()
	const members = 7
	c := harness.Start(t, harness.Namespace(t), "chat", members, "27", podCertificate)
	if got, want := harness.Must(c.SecretsWithKeys(t.Context()))(t), []string{"chat-ca", "chat-intermediate", "chat-probe-tls"}; !slices.Equal(got, want) {
		t.Errorf("the Secrets with a private key are %v, want %v", got, want)
	}
	for ordinal := range members {
		files := kubectl.Must(t, "exec", "-n", c.Namespace, c.Pod(ordinal), "--", "sh", "-c",
			"grep -Rl 'PRIVATE KEY' /run/erlang-operator | grep -v '/\\.\\.'; grep -c 'BEGIN CERTIFICATE' /run/erlang-operator/tls/tls-combined.pem")
		if want := "/run/erlang-operator/tls/tls-combined.pem\n2\n"; files != want {
			t.Errorf("%s has keys, and a number of certificates, in %q, want %q", c.Pod(ordinal), files, want)
		}
	}

	outsider := func(name, labels string) string {
		return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s, labels: %s}
spec:
  terminationGracePeriodSeconds: 1
  serviceAccountName: outsider
  containers: [{name: node, image: "erlang:27", command: [sleep, infinity], volumeMounts: [{name: tls, mountPath: /tls}]}]
  volumes:
  - name: tls
    projected:
      sources: [{podCertificate: {signerName: erlang-operator.dev/member, keyType: ECDSAP256, credentialBundlePath: tls-combined.pem}}]
`, name, c.Namespace, labels)
	}
	forged := c.Pod(members) // the name that the next member would have
	kubectl.Must(t, "create", "serviceaccount", "outsider", "-n", c.Namespace)
	for _, pod := range []string{
		outsider("labelled", "{erlang-operator.dev/cluster: chat, erlang-operator.dev/component: other}"),
		outsider("plain", "{}"),
		outsider(forged, "{}"),
	} {
		kubectl.MustApply(t, pod)
	}
	for _, pod := range []string{"plain", forged} {
		var answer metav1.Condition
		await.Until(t, 3*time.Minute, "the request of pod "+pod+" is answered", func(ctx context.Context) error {
			requests, err := requestsFor(ctx, c.Namespace, pod)
			if err != nil {
				return err
			}
			if len(requests) == 0 || len(requests[0].Status.Conditions) == 0 {
				return fmt.Errorf("%d requests, and no answer", len(requests))
			}
			answer = requests[0].Status.Conditions[0]
			return nil
		})
		if answer.Type != "Denied" || answer.Reason != "NotAMember" {
			t.Errorf("the answer to %s is %+v, want Denied, NotAMember", pod, answer)
		}
	}
	await.Until(t, 3*time.Minute, "an event of the kubelet gives the reason", func(ctx context.Context) error {
		events, err := kubectl.Run(ctx, "get", "events", "-n", c.Namespace, "--field-selector=involvedObject.name=plain", "-o", "jsonpath={.items[*].message}")
		if err == nil && !strings.Contains(events, "belongs to no StatefulSet of an ErlangCluster") {
			err = fmt.Errorf("the events are %q", events)
		}
		return err
	})
	await.Until(t, 3*time.Minute, "there is a request of the pod that is labelled as a member", func(ctx context.Context) error {
		requests, err := requestsFor(ctx, c.Namespace, "labelled")
		if err == nil && len(requests) == 0 {
			err = fmt.Errorf("there is none")
		}
		return err
	})
	for _, pod := range []string{"plain", "labelled", forged} {
		for _, request := range harness.Must(requestsFor(t.Context(), c.Namespace, pod))(t) {
			if request.Status.CertificateChain != "" {
				t.Errorf("pod %s has got a certificate", pod)
			}
		}
		if phase := kubectl.Must(t, "get", "pod", pod, "-n", c.Namespace, "-o", "jsonpath={.status.phase}"); phase != "Pending" {
			t.Errorf("pod %s is %s, want Pending without a certificate", pod, phase)
		}
	}
	c.AwaitReady(t, members)
}

// A kubelet that restarts has lost the keys of its pods and requests new certificates for
// all of them. The nodes load those, and no link is lost. Not parallel: it restarts the
// kubelets of all tests.
func TestKubeletRestart(t *testing.T) {
	c := harness.StartMixed(t, "chat", 3, podCertificate)
	pods, before := harness.Must(c.Restarts(t.Context(), 3))(t), harness.Must(c.Serials(t.Context()))(t)
	c.StartTraffic(t, 3)
	for _, machine := range harness.Machines(t) {
		machine.Restart(t, "kubelet")
	}
	// The kubelet writes the file within its next sync of the pod, and OTP reads it again
	// after at most two minutes.
	await.Until(t, 6*time.Minute, "every node serves another certificate", func(ctx context.Context) error { return c.Renewed(ctx, before) })
	c.AwaitReady(t, 3)
	c.CheckTraffic(t, 3)
	c.CheckRestarts(t, 3, pods)
}

// The delivery changes on a running cluster, there and back: one member at a time is
// restarted, and nothing stays of what only the former delivery needs.
func TestChangeDelivery(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Namespace(t), "chat", 3, "27")
	for _, change := range []struct {
		delivery, volume string
		keys             []string
	}{
		{"PodCertificate", "projected", []string{"chat-ca", "chat-intermediate", "chat-probe-tls"}},
		{"Secret", "secret", []string{"chat-0-tls", "chat-1-tls", "chat-2-tls", "chat-ca", "chat-probe-tls"}},
	} {
		c.Patch(t, `{"tls":{"delivery":%q}}`, change.delivery)
		fewest := 3
		await.Until(t, 8*time.Minute, "every pod has its certificate by "+change.delivery, func(ctx context.Context) error {
			var pods corev1.PodList
			if err := kubectl.Get(ctx, &pods, "pods", "-n", c.Namespace, "-l", "erlang-operator.dev/component=node"); err != nil {
				return err
			}
			ready, changed := 0, 0
			for _, pod := range pods.Items {
				isReady := slices.ContainsFunc(pod.Status.Conditions, func(condition corev1.PodCondition) bool {
					return condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue
				})
				if isReady {
					ready++
				}
				for _, volume := range pod.Spec.Volumes {
					if volume.Name == "erlang-operator-tls" && (volume.Projected != nil) == (change.volume == "projected") && isReady {
						changed++
					}
				}
			}
			fewest = min(fewest, ready)
			if changed < 3 {
				return fmt.Errorf("%d of 3", changed)
			}
			return nil
		})
		if fewest < 2 {
			t.Errorf("during the change to %s only %d of 3 pods were ready", change.delivery, fewest)
		}
		c.AwaitReady(t, 3)
		await.Until(t, 3*time.Minute, "the right Secrets have keys", func(ctx context.Context) error {
			got, err := c.SecretsWithKeys(ctx)
			if err == nil && !slices.Equal(got, change.keys) {
				err = fmt.Errorf("they are in %v, want %v", got, change.keys)
			}
			return err
		})
	}
}
