//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
	"github.com/erlang-operator/erlang-operator/test/journal"
)

// A template whose pods cannot become members stops at the first of them, and reverting it
// is all that has to be done.
func TestFailedRollout(t *testing.T) {
	t.Parallel()
	for name, template := range map[string]string{
		"image":          `{"containers":[{"name":"node","image":"erlang:none","command":["erl","-noinput"]}]}`,
		"serviceaccount": `{"serviceAccountName":"none"}`,
		"crashloop":      `{"containers":[{"name":"node","image":"erlang:27","command":["erl","-noinput","-eval","halt(1)."]}]}`,
		"affinity":       `{"nodeSelector":{"disk":"none"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := harness.Start(t, harness.Namespace(t), "chat", 3, "27")
			before := uids(t, c)
			stop := watchAway(t, c, 3, 1)
			c.Patch(t, `{"template":{"spec":%s}}`, template)
			awaitRollout(t, c, "the node of pod chat-2 to be linked", "pod chat-2 to be created")
			time.Sleep(5 * time.Second) // in which another pod could be replaced
			kubectl.MustApply(t, harness.Manifest(c.Namespace, c.Name, 3, "27"))
			kubectl.Must(t, "patch", "erlangcluster", c.Name, "-n", c.Namespace, "--type=merge", "-p",
				`{"spec":{"template":{"spec":{"serviceAccountName":null,"nodeSelector":null}}}}`)
			c.AwaitReady(t, 3)
			stop()
			after := uids(t, c)
			if diff := cmp.Diff(before[:2], after[:2]); diff != "" {
				t.Errorf("chat-0 and chat-1 did not stay (-before +after):\n%s", diff)
			}
		})
	}
}

// A cluster that never ran, because its image does not exist, runs with the first correction,
// and each pod is replaced once.
func TestCorrectedTemplate(t *testing.T) {
	t.Parallel()
	c := harness.Cluster{Namespace: harness.Namespace(t), Name: "chat"}
	runs := c.WatchRuns(t)
	kubectl.MustApply(t, harness.Manifest(c.Namespace, c.Name, 3, "none"))
	c.AwaitCondition(t, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPodFailing, "image")
	awaitCreated(t, c, runs, 1)
	kubectl.MustApply(t, harness.Manifest(c.Namespace, c.Name, 3, "27"))
	c.AwaitReady(t, 3)
	awaitCreated(t, c, runs, 2)
	for ordinal := range 3 {
		if times := runs.Pods(c.Pod(ordinal)); times > 2 {
			t.Errorf("pod %s was created %d times, want twice: once with each template", c.Pod(ordinal), times)
		}
	}
}

// awaitCreated waits until each of three pods was created so many times.
func awaitCreated(t *testing.T, c harness.Cluster, runs *harness.Runs, times int) {
	t.Helper()
	await.Until(t, 2*time.Minute, fmt.Sprintf("each pod was created %d times", times), func(context.Context) error {
		for ordinal := range 3 {
			if created := runs.Pods(c.Pod(ordinal)); created < times {
				return fmt.Errorf("%s was created %d times", c.Pod(ordinal), created)
			}
		}
		return nil
	})
}

// Members that are linked to each other, but not Ready for a reason that they share, are not
// all restarted by a change of the template. A pause keeps them all.
func TestRolloutOfUnreadyMembers(t *testing.T) {
	t.Parallel()
	c := startJournal(t, 3, "27")
	followed := c.Follow(t, 3)
	const probed = `"readinessProbe":{"exec":{"command":["test","!","-e","/tmp/broken"]},"periodSeconds":1,"failureThreshold":1},"command"`
	change := func(change string) {
		template := strings.Replace(harness.JournalTemplate("27", ""), `"command"`, probed, 1)
		c.Patch(t, `{"template":%s}`, strings.Replace(template, "{", `{"metadata":{"annotations":{"change":"`+change+`"}},`, 1))
	}
	change("1")
	c.AwaitReady(t, 3)
	for ordinal := range 3 {
		kubectl.Must(t, "exec", "-n", c.Namespace, c.Pod(ordinal), "-c", "node", "--", "touch", "/tmp/broken")
	}
	await.Until(t, 2*time.Minute, "no pod is Ready", func(ctx context.Context) error {
		ready, err := countPods(ctx, c, corev1.PodReady)
		if err == nil && ready > 0 {
			err = fmt.Errorf("%d pods are Ready", ready)
		}
		return err
	})
	c.Patch(t, `{"rollout":{"paused":true}}`)
	before := uids(t, c)
	change("2")
	awaitRollout(t, c, "rollout.paused")
	if diff := cmp.Diff(before, uids(t, c)); diff != "" {
		t.Errorf("pods were replaced in a pause (-before +after):\n%s", diff)
	}
	stop := watchAway(t, c, 3, 1)
	c.Patch(t, `{"rollout":null}`)
	c.AwaitReady(t, 3)
	stop()
	journal.Check(t, followed.EndWhole(t, 3), 3, 2)
}

// While the members of a cluster are replaced one by one, by those of the next release of OTP,
// the others stay linked to each other at every instant, and no call between them is lost. A
// soak goes on to the release after it.
func TestRolloutUnderTraffic(t *testing.T) {
	t.Parallel()
	const members = 5
	c := startJournal(t, members, "25")
	followed := c.Follow(t, members)
	c.AwaitReady(t, members)
	releases := []string{"27"}
	if *soak > 0 {
		releases = append(releases, "29")
	}
	for _, otp := range releases {
		c.Patch(t, `{"template":%s}`, harness.JournalTemplate(otp, ""))
		c.AwaitReady(t, members)
	}
	journal.Check(t, followed.EndWhole(t, members), members, members-1)
	for _, node := range harness.Must(c.Mesh(t.Context()))(t).Nodes {
		if node.OTPRelease != releases[len(releases)-1] {
			t.Errorf("%s runs OTP %s", node.Pod, node.OTPRelease)
		}
	}
}

// awaitRollout waits until the status has one of these as what the rollout waits for.
func awaitRollout(t *testing.T, c harness.Cluster, reasons ...string) {
	t.Helper()
	await.Until(t, 2*time.Minute, "the rollout waits", func(ctx context.Context) error {
		read, err := c.Read(ctx)
		if err != nil {
			return err
		}
		for _, reason := range reasons {
			if read.Status.Rollout != nil && strings.Contains(read.Status.Rollout.WaitingFor, reason) {
				return nil
			}
		}
		return fmt.Errorf("status.rollout is %+v", read.Status.Rollout)
	})
}

// watchAway samples the pods until it is stopped, and fails the test if more than so many
// are missing, are terminating, or have not joined.
func watchAway(t *testing.T, c harness.Cluster, replicas, allowed int) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			joined, err := countPods(ctx, c, v1alpha1.ReadinessGate)
			if err == nil && replicas-joined > allowed {
				done <- fmt.Errorf("%d of %d members were away at a time", replicas-joined, replicas)
				return
			}
			time.Sleep(time.Second) // Each look takes CPU from the nodes, and a pod that is replaced is away for longer.
		}
		done <- nil
	}()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// countPods counts the member pods that are not terminating and have a condition.
func countPods(ctx context.Context, c harness.Cluster, condition corev1.PodConditionType) (int, error) {
	var pods corev1.PodList
	err := kubectl.Get(ctx, &pods, "pods", "-n", c.Namespace, "-l", "erlang-operator.dev/component=node")
	count := 0
	for _, pod := range pods.Items {
		for _, has := range pod.Status.Conditions {
			if has.Type == condition && has.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil {
				count++
			}
		}
	}
	return count, err
}

func uids(t *testing.T, c harness.Cluster) []string {
	t.Helper()
	var all []string
	for ordinal := range 3 {
		all = append(all, harness.Must(c.PodUID(t.Context(), ordinal))(t))
	}
	return all
}
