//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
)

const podCertificate = "tls: {delivery: PodCertificate}"

// secretsWithKeys are the Secrets that hold a private key.
func (c cluster) secretsWithKeys() []string {
	c.t.Helper()
	var secrets corev1.SecretList
	if err := get(c.t, &secrets, "secrets", "-n", c.namespace); err != nil {
		c.t.Fatal(err)
	}
	var names []string
	for _, secret := range secrets.Items {
		for _, value := range secret.Data {
			if bytes.Contains(value, []byte("PRIVATE KEY")) {
				names = append(names, secret.Name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// requestsFor are the requests of kubelets for the certificate of a pod.
func requestsFor(t *testing.T, namespace, pod string) []certificatesv1.PodCertificateRequest {
	t.Helper()
	var all certificatesv1.PodCertificateRequestList
	if err := get(t, &all, "podcertificaterequests", "-n", namespace); err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all.Items, func(r certificatesv1.PodCertificateRequest) bool { return r.Spec.PodName != pod })
}

// A member's key is on its machine and nowhere else, and what is no member gets no
// certificate, whatever its ServiceAccount, its name and its labels.
func TestPodCertificate(t *testing.T) {
	t.Parallel()
	const members = 7
	c := start(t, namespace(t), "chat", members, "27", podCertificate)
	if got, want := c.secretsWithKeys(), []string{"chat-ca", "chat-intermediate", "chat-probe-tls"}; !slices.Equal(got, want) {
		t.Errorf("there are keys in the Secrets %v, want %v", got, want)
	}
	for ordinal := range members {
		files := must(t, "exec", "-n", c.namespace, c.pod(ordinal), "--", "sh", "-c",
			"grep -Rl 'PRIVATE KEY' /run/erlang-operator | grep -v '/\\.\\.'; grep -c 'BEGIN CERTIFICATE' /run/erlang-operator/tls/tls-combined.pem")
		if want := "/run/erlang-operator/tls/tls-combined.pem\n2\n"; files != want {
			t.Errorf("%s has keys, and so many certificates, in %q, want %q", c.pod(ordinal), files, want)
		}
	}

	stranger := func(name, labels string) string {
		return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s, labels: %s}
spec:
  terminationGracePeriodSeconds: 1
  serviceAccountName: stranger
  containers: [{name: node, image: "erlang-operator/erlang:27", command: [sleep, infinity], volumeMounts: [{name: tls, mountPath: /tls}]}]
  volumes:
  - name: tls
    projected:
      sources: [{podCertificate: {signerName: erlang-operator.dev/member, keyType: ECDSAP256, credentialBundlePath: tls-combined.pem}}]
`, name, c.namespace, labels)
	}
	forged := c.pod(members) // the name that the next member would have
	must(t, "create", "serviceaccount", "stranger", "-n", c.namespace)
	for _, pod := range []string{
		stranger("labelled", "{erlang-operator.dev/cluster: chat, erlang-operator.dev/component: other}"),
		stranger("plain", "{}"),
		stranger(forged, "{}"),
	} {
		if err := apply(t, pod); err != nil {
			t.Fatal(err)
		}
	}
	for _, pod := range []string{"plain", forged} {
		eventually(t, time.Minute, "pod "+pod+", which is nobody's, is denied a certificate", func() error {
			requests := requestsFor(t, c.namespace, pod)
			if len(requests) == 0 || len(requests[0].Status.Conditions) == 0 {
				return fmt.Errorf("%d requests, and no answer", len(requests))
			}
			if got := requests[0].Status.Conditions[0]; got.Type != "Denied" || got.Reason != "NotAMember" {
				t.Errorf("the answer to %s is %+v, want Denied, NotAMember", pod, got)
			}
			return nil
		})
	}
	eventually(t, time.Minute, "its kubelet says so", func() error {
		events := must(t, "get", "events", "-n", c.namespace, "--field-selector=involvedObject.name=plain", "-o", "jsonpath={.items[*].message}")
		if !strings.Contains(events, "belongs to no StatefulSet of an ErlangCluster") {
			return fmt.Errorf("the events are %q", events)
		}
		return nil
	})
	eventually(t, time.Minute, "a certificate is asked for the pod that is labelled as a member", func() error {
		if len(requestsFor(t, c.namespace, "labelled")) == 0 {
			return fmt.Errorf("there is no request")
		}
		return nil
	})
	for _, pod := range []string{"plain", "labelled", forged} {
		for _, request := range requestsFor(t, c.namespace, pod) {
			if request.Status.CertificateChain != "" {
				t.Errorf("pod %s has got a certificate", pod)
			}
		}
		if phase := must(t, "get", "pod", pod, "-n", c.namespace, "-o", "jsonpath={.status.phase}"); phase != "Pending" {
			t.Errorf("pod %s is %s, and cannot have a certificate", pod, phase)
		}
	}
	c.awaitWhole(members)
}

// A kubelet that restarts has lost the keys of its pods and asks for all of them
// again. The nodes go over to the new ones, and no link is lost. Not parallel: the
// machine is everybody's.
func TestKubeletRestart(t *testing.T) {
	c := startMixed(t, "chat", 3, podCertificate)
	served := func() map[string]time.Time {
		read, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		until := map[string]time.Time{}
		for _, node := range read.Status.Mesh.Nodes {
			if node.CertificateNotAfter != nil {
				until[node.Pod] = node.CertificateNotAfter.Time
			}
		}
		return until
	}
	pods, before := c.restarts(3), served()
	if len(before) != 3 {
		t.Fatalf("the certificates of %d nodes are seen, want 3", len(before))
	}
	c.startTraffic(3)
	restartKubelets(t)
	// The kubelet asks, writes the file within its next sync of the pod, and OTP looks
	// at it at most every two minutes.
	eventually(t, 6*time.Minute, "every node serves another certificate", func() error {
		now := served()
		for pod, was := range before {
			if !now[pod].After(was) {
				return fmt.Errorf("%s serves that until %s", pod, was)
			}
		}
		return nil
	})
	c.awaitWhole(3)
	c.checkTraffic(3)
	c.checkRestarts(3, pods)
}

// The delivery changes on a live cluster, there and back: one member at a time is
// restarted, and of what the other delivery needs nothing stays.
func TestChangeDelivery(t *testing.T) {
	t.Parallel()
	c := start(t, namespace(t), "chat", 3, "27")
	for _, change := range []struct {
		delivery, volume string
		keys             []string
	}{
		{"PodCertificate", "projected", []string{"chat-ca", "chat-intermediate", "chat-probe-tls"}},
		{"Secret", "secret", []string{"chat-0-tls", "chat-1-tls", "chat-2-tls", "chat-ca", "chat-probe-tls"}},
	} {
		must(t, "patch", "erlangcluster", c.name, "-n", c.namespace, "--type=merge", "-p",
			fmt.Sprintf(`{"spec":{"tls":{"delivery":%q}}}`, change.delivery))
		fewest := 3
		eventually(t, 5*time.Minute, "every pod has its certificate by "+change.delivery, func() error {
			var pods corev1.PodList
			if err := get(t, &pods, "pods", "-n", c.namespace, "-l", "erlang-operator.dev/component=node"); err != nil {
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
			t.Errorf("on the way to %s only %d of 3 pods were ready", change.delivery, fewest)
		}
		c.awaitWhole(3)
		eventually(t, time.Minute, "keys are where they should be", func() error {
			if got := c.secretsWithKeys(); !slices.Equal(got, change.keys) {
				return fmt.Errorf("they are in %v, want %v", got, change.keys)
			}
			return nil
		})
	}
}
