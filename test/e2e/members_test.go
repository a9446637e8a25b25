//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
	"github.com/erlang-operator/erlang-operator/test/journal"
)

// meshWithin is the time in which ten members become one mesh, from when the last pod runs. It
// includes the start of the nodes, which takes many times as long where ten share a slow machine.
// There the time counts from when the last node has started.
const meshWithin, meshWithinOnSlowMachine = 5 * time.Second, 20 * time.Second

// startJournal creates a cluster whose members print their links.
func startJournal(t *testing.T, members int, otp string) harness.Cluster {
	t.Helper()
	c := harness.Cluster{Namespace: harness.Namespace(t), Name: "chat"}
	createWith(t, c, members, harness.JournalTemplate(otp, ""))
	return c
}

func createWith(t *testing.T, c harness.Cluster, members int, template string) {
	t.Helper()
	kubectl.MustApply(t, fmt.Sprintf(`{"apiVersion":"erlang-operator.dev/v1alpha1","kind":"ErlangCluster","metadata":{"name":%q,"namespace":%q},
		"spec":{"replicas":%d,"template":%s}}`, c.Name, c.Namespace, members, template))
}

// Ten members are one mesh soon after the last of their pods runs. It runs alone, because it is
// about time. The limit in a soak is that of an idle machine.
func TestTenMembers(t *testing.T) {
	const members = 10
	c := startJournal(t, members, "27")
	followed := c.Follow(t, members)
	c.AwaitReady(t, members)
	events := followed.EndWhole(t, members)
	whole, last := firstWhole(events, members), lastRuns(t, c)
	booted := slices.MaxFunc(events, func(a, b journal.Event) int { return startedAt(a).Compare(startedAt(b)) }).At
	t.Logf("the mesh is whole %s after the last pod runs, %s after the last node has started", whole.Sub(last).Round(time.Millisecond), whole.Sub(booted))
	if took := whole.Sub(last); *soak > 0 && took > meshWithin {
		t.Errorf("the mesh is whole %s after the last pod runs, want %s", took, meshWithin)
	}
	if took := whole.Sub(booted); took > meshWithinOnSlowMachine {
		t.Errorf("the mesh is whole %s after the last node has started, want %s", took, meshWithinOnSlowMachine)
	}
	journal.Check(t, events, members, members)
}

// Of ten members one serves a certificate of a CA of its own, then it has a cookie of its own:
// the other nine form a mesh and stay one, and it is named with the cause. When it has the right
// ones, it joins.
func TestOneOfTenMembersIsBad(t *testing.T) {
	t.Parallel()
	const members, bad = 10, 9
	c := harness.Cluster{Namespace: harness.Namespace(t), Name: "chat"}
	otherCertificate(t, c, c.Pod(bad))
	template := harness.JournalTemplate("27", `os:getenv("ERLANG_OPERATOR_POD") =:= "chat-9" andalso erlang:set_cookie(another).`)
	createWith(t, c, members, withOtherCertificate(t, template, c.Pod(bad)))
	followed := c.Follow(t, members)
	await.Until(t, 4*time.Minute, "nine members are linked", func(context.Context) error {
		if firstWhole(followed.Events(), bad).IsZero() {
			return errors.New("they are not")
		}
		return nil
	})
	c.AwaitCondition(t, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonCertificateUntrusted, "chat-9", "issue it a certificate of a CA in the trust bundle")
	time.Sleep(10 * time.Second) // in which the probe sweeps several times
	kubectl.Must(t, "delete", "certificate/other", "-n", c.Namespace)
	kubectl.Must(t, "delete", "secret/other", "pod/"+c.Pod(bad), "-n", c.Namespace)
	c.AwaitCondition(t, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonCookieMismatch, "chat-9", "cookie")
	time.Sleep(10 * time.Second)
	journal.Check(t, followed.Events(), bad, bad)

	harness.Must(c.Eval(t.Context(), bad, fmt.Sprintf("erlang:set_cookie('%s')", harness.Must(c.Cookie(t.Context()))(t)), "another"))(t)
	c.AwaitReady(t, members)
	journal.Check(t, followed.EndWhole(t, members), members, bad)
}

// otherCertificate has cert-manager issue a certificate for a pod by another CA than that of its
// cluster, in the Secret other.
func otherCertificate(t *testing.T, c harness.Cluster, pod string) {
	t.Helper()
	harness.CreateIssuer(t, c.Namespace, "other-ca")
	kubectl.MustApply(t, fmt.Sprintf(`apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: other, namespace: %[1]s}
spec:
  secretName: other
  dnsNames: [%[3]s.%[2]s-nodes.%[1]s.svc.cluster.local]
  usages: [digital signature, server auth, client auth]
  privateKey: {algorithm: ECDSA, size: 256}
  additionalOutputFormats: [{type: CombinedPEM}]
  issuerRef: {name: other-ca, kind: Issuer, group: cert-manager.io}
`, c.Namespace, c.Name, pod))
	kubectl.Must(t, "wait", "certificate/other", "-n", c.Namespace, "--for=condition=Ready", "--timeout=4m")
}

// withOtherCertificate has a pod of a template use TLS options of its own, with the certificate of
// the Secret other while that is there, as an image may that sets the flags itself.
func withOtherCertificate(t *testing.T, template, pod string) string {
	t.Helper()
	var pods corev1.PodTemplateSpec
	if err := json.Unmarshal([]byte(template), &pods); err != nil {
		t.Fatal(err)
	}
	node := &pods.Spec.Containers[0]
	const script = `if [ "$ERLANG_OPERATOR_POD" = %[1]s ] && [ -e /other/%[2]s ]; then
		sed s,%[3]s,/other, %[4]s > /tmp/tls.conf
		ERL_ZFLAGS=` + "`echo \"$ERL_ZFLAGS\" | sed s,%[4]s,/tmp/tls.conf,`" + `
		export ERL_ZFLAGS
	fi
	exec "$@"`
	node.Command = append([]string{"sh", "-c", fmt.Sprintf(script, pod, naming.CombinedKey, naming.TLSDir, naming.OptionsFile), "sh"}, node.Command...)
	node.VolumeMounts = []corev1.VolumeMount{{Name: "other", MountPath: "/other"}}
	pods.Spec.Volumes = []corev1.Volume{{Name: "other", VolumeSource: corev1.VolumeSource{
		Secret: &corev1.SecretVolumeSource{SecretName: "other", Optional: ptr.To(true)},
	}}}
	return string(harness.Must(json.Marshal(pods))(t))
}

// firstWhole is when all members were linked to each other first.
func firstWhole(events []journal.Event, members int) time.Time {
	for _, meshed := range journal.Over(events, members) {
		if meshed.Members == members {
			return meshed.At
		}
	}
	return time.Time{}
}

// startedAt is when a node has started, if the event is about that.
func startedAt(e journal.Event) time.Time {
	if e.What == "start" {
		return e.At
	}
	return time.Time{}
}

// lastRuns is when the last container of a member has started, as the kubelet says: to the
// second, and not later.
func lastRuns(t *testing.T, c harness.Cluster) (last time.Time) {
	t.Helper()
	var pods corev1.PodList
	if err := kubectl.Get(t.Context(), &pods, "pods", "-n", c.Namespace, "-l", "erlang-operator.dev/component=node"); err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods.Items {
		for _, container := range pod.Status.ContainerStatuses {
			if running := container.State.Running; running != nil && running.StartedAt.After(last) {
				last = running.StartedAt.Time
			}
		}
	}
	return last
}
