package status_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
)

// ago is a time before that of the pass.
func ago(d time.Duration) metav1.Time { return metav1.NewTime(statetest.Now.Add(-d)) }

// container sets the status of the container of a pod, whose containers are Ready if it is.
func (s *scene) container(ordinal int, status corev1.ContainerStatus) {
	pod := &s.Pods[ordinal]
	status.Name = "chat"
	pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, status)
	if !status.Ready {
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.ContainersReady, Status: corev1.ConditionFalse,
			LastTransitionTime: ago(time.Minute), Message: "containers with unready status: [chat]"}}
	}
}

// recorded is what the kubelet recorded of a container.
func (s *scene) recorded(ordinal int, before time.Duration, reason, note string) {
	if s.PodEvents == nil {
		s.PodEvents = map[string][]state.PodEvent{}
	}
	name := s.Pods[ordinal].Name
	s.PodEvents[name] = append(s.PodEvents[name], state.PodEvent{Container: "chat", Reason: reason, Note: note, At: ago(before).Time})
}

// running is a container that has been for some time, after restarts.
func running(since time.Duration, ready bool, restarts int32, last *corev1.ContainerStateTerminated) corev1.ContainerStatus {
	return corev1.ContainerStatus{Ready: ready, Started: ptr.To(true), RestartCount: restarts,
		State:                corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: ago(since)}},
		LastTerminationState: corev1.ContainerState{Terminated: last}}
}

// backingOff is a container that is restarted later.
func backingOff(restarts int32, last *corev1.ContainerStateTerminated) corev1.ContainerStatus {
	return corev1.ContainerStatus{Started: ptr.To(false), RestartCount: restarts,
		State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 40s restarting failed container"}},
		LastTerminationState: corev1.ContainerState{Terminated: last}}
}

// end is how a container ended that ran for some time.
func end(code int32, before, ran time.Duration, message string) *corev1.ContainerStateTerminated {
	reason := "Error"
	if code == 0 {
		reason = "Completed"
	}
	return &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: message, FinishedAt: ago(before), StartedAt: ago(before + ran)}
}

// NodesReady is True only when every pod is Ready for the kubelet and remains so, and
// otherwise says which is not, and why.
func TestNodesReady(t *testing.T) {
	const refused = "Liveness probe failed: dial tcp 10.198.1.19:4444: connect: connection refused"
	for name, test := range map[string]struct {
		edit  func(*scene)
		want  string // status and reason of NodesReady
		waits bool   // Reconciling
		says  []string
	}{
		"all are Ready": {func(s *scene) { s.container(0, running(time.Hour, true, 0, nil)) }, "True PodsReady", false, []string{"all 3 pods are Ready"}},
		"not looked at yet": {func(s *scene) { s.container(0, running(5*time.Second, false, 0, nil)) }, "False PodsPending", true,
			[]string{"Pod chat-0 is running, and the readiness probe of container chat has not passed yet."}},
		"not passed yet": {func(s *scene) {
			s.container(0, running(time.Minute, false, 0, nil))
			s.recorded(0, 30*time.Second, "Unhealthy", "Readiness probe failed: no quorum\n")
		}, "False PodsPending", true, []string{"the readiness probe of container chat has not passed yet: Readiness probe failed: no quorum."}},
		"does not pass": {func(s *scene) {
			s.container(1, running(3*time.Minute, false, 0, nil))
			s.recorded(1, 2*time.Minute, "Unhealthy", "Readiness probe failed: starting")
			s.recorded(1, 30*time.Second, "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503")
			s.recorded(1, 20*time.Second, "Unhealthy", "Liveness probe failed: too slow")
		}, "False ReadinessProbeFailing", false, []string{
			"Pod chat-1 is running, and the readiness probe of container chat fails: Readiness probe failed: HTTP probe failed with statuscode: 503. Correct what it checks, or readinessProbe of template.spec.containers[chat]",
			"kubectl describe pod chat-1", "#readinessprobefailing"}},
		"does not pass, and nothing of this start was recorded": {func(s *scene) {
			s.container(1, running(3*time.Minute, false, 0, nil))
			s.recorded(1, 4*time.Minute, "Unhealthy", "Readiness probe failed: of the start before")
		}, "False ReadinessProbeFailing", false, []string{"container chat fails. Correct"}},
		"an image without a shell": {func(s *scene) {
			s.container(1, running(3*time.Minute, false, 0, nil))
			s.recorded(1, time.Minute, "Unhealthy", "Readiness probe failed: exec /run/erlang-operator/bin/visitor: no such file or directory\n")
		}, "False ReadinessProbeFailing", false, []string{"The image has no /bin/sh, through which exec probes are run: set spec.visitors to Unmanaged"}},
		"all of them do not pass": {func(s *scene) {
			for i := range 3 {
				s.container(i, running(3*time.Minute, false, 0, nil))
			}
		}, "False ReadinessProbeFailing", false, []string{"Pod chat-0", "Also: chat-1 (ReadinessProbeFailing), chat-2 (ReadinessProbeFailing)."}},
		"a fault is first": {func(s *scene) {
			s.container(0, running(time.Minute, false, 0, nil))
			s.container(2, running(3*time.Minute, false, 0, nil))
		}, "False ReadinessProbeFailing", false, []string{"Pod chat-2"}},
		"starts slowly": {func(s *scene) {
			starting := running(10*time.Minute, false, 0, nil)
			starting.Started = ptr.To(false)
			s.container(0, starting)
			s.recorded(0, time.Minute, "Unhealthy", `Startup probe failed: command timed out: "sleep 10" timed out after 1s`)
		}, "False PodsPending", true, []string{`the startup probe of container chat has not passed yet: Startup probe failed: command timed out: "sleep 10" timed out after 1s.`}},
		"never starts in time": {func(s *scene) {
			s.container(0, backingOff(4, end(0, 10*time.Second, 20*time.Second, "")))
			s.recorded(0, 12*time.Second, "Unhealthy", "Startup probe failed: no")
			s.recorded(0, 11*time.Second, "Killing", "Container chat failed startup probe, will be restarted")
		}, "False StartupProbeFailing", false, []string{"because its startup probe fails: Startup probe failed: no. Restarts: 4. Correct what it checks, or startupProbe of", "#startupprobefailing"}},
		"killed, and waits": {func(s *scene) {
			s.container(1, backingOff(4, end(137, 10*time.Second, 20*time.Second, "")))
			s.recorded(1, 30*time.Second, "Unhealthy", refused)
			s.recorded(1, 11*time.Second, "Killing", "Container chat failed liveness probe, will be restarted")
			s.recorded(1, 9*time.Second, "BackOff", "Back-off restarting failed container chat")
		}, "False LivenessProbeFailing", false, []string{
			"The kubelet restarts container chat of pod chat-1 because its liveness probe fails: " + refused + ". Restarts: 4. Correct what it checks, or livenessProbe of template.spec.containers[chat]. See `kubectl describe pod chat-1`.",
			"#livenessprobefailing"}},
		"killed because the command takes longer": {func(s *scene) {
			s.container(1, backingOff(4, end(137, 10*time.Second, 20*time.Second, "")))
			s.recorded(1, 12*time.Second, "Unhealthy", `Liveness probe failed: command timed out: "bin/stock ping" timed out after 1s`)
			s.recorded(1, 11*time.Second, "Killing", "Container chat failed liveness probe, will be restarted")
		}, "False LivenessProbeFailing", false, []string{
			`"bin/stock ping" timed out after 1s. Restarts: 4. Raise timeoutSeconds of livenessProbe of template.spec.containers[chat]: 5 or more for a command that starts a BEAM. See`}},
		"killed with an exit code of its own": {func(s *scene) {
			s.container(1, backingOff(4, end(3, 10*time.Second, 20*time.Second, "bye")))
			s.recorded(1, 11*time.Second, "Killing", "Container chat failed liveness probe, will be restarted")
		}, "False LivenessProbeFailing", false, []string{"liveness probe fails. Restarts: 4."}},
		"killed before, and then ended by itself": {func(s *scene) {
			s.container(1, backingOff(4, end(1, 10*time.Second, 20*time.Second, "init terminating")))
			s.recorded(1, 10*time.Minute, "Killing", "Container chat failed liveness probe, will be restarted")
		}, "False PodFailing", false, []string{"Container chat of pod chat-1 ended with exit code 1 (Error): init terminating. Restarts: 4."}},
		"the kubelet records no more, and kills": {func(s *scene) {
			s.container(1, backingOff(40, end(0, 10*time.Second, 20*time.Second, "")))
			s.recorded(1, 10*time.Minute, "Killing", "Container chat failed liveness probe, will be restarted")
		}, "False LivenessProbeFailing", false, nil},
		"killed, and is Ready for a while": {func(s *scene) {
			s.container(1, running(20*time.Second, true, 3, end(0, 21*time.Second, 20*time.Second, "")))
			s.recorded(1, 22*time.Second, "Killing", "Container chat failed liveness probe, will be restarted")
		}, "False LivenessProbeFailing", false, []string{"Restarts: 3."}},
		"another container is killed": {func(s *scene) {
			s.container(1, backingOff(4, end(0, 10*time.Second, 20*time.Second, "")))
			s.recorded(1, 30*time.Second, "Unhealthy", refused)
			s.recorded(1, 11*time.Second, "Killing", "Container proxy failed liveness probe, will be restarted")
			s.PodEvents["chat-1"][1].Container = "proxy"
		}, "False PodFailing", false, []string{"ended with exit code 0 (Completed). It ended by itself: a node has to run in the foreground. Restarts: 4."}},
		"another container is not ready": {func(s *scene) {
			s.container(1, running(3*time.Minute, false, 0, nil))
			s.recorded(1, time.Minute, "Unhealthy", "Readiness probe failed: of the proxy")
			s.PodEvents["chat-1"][0].Container = "proxy"
		}, "False ReadinessProbeFailing", false, []string{"container chat fails. Correct"}},
		"killed once": {func(s *scene) {
			s.container(1, running(20*time.Second, true, 1, end(0, 21*time.Second, 20*time.Second, "")))
			s.recorded(1, 22*time.Second, "Killing", "Container chat failed liveness probe, will be restarted")
		}, "True PodsReady", false, nil},
		"crashes, and is Ready for a while": {func(s *scene) {
			s.container(1, running(20*time.Second, true, 3, end(1, 21*time.Second, 20*time.Second, "no_config")))
		}, "False PodFailing", false, []string{"ended with exit code 1 (Error): no_config. Restarts: 3."}},
		"has recovered": {func(s *scene) {
			s.container(1, running(2*time.Minute, true, 3, end(1, 2*time.Minute, 20*time.Second, "no_config")))
		}, "True PodsReady", false, nil},
		"ran for long before": {func(s *scene) {
			s.container(1, running(20*time.Second, true, 3, end(137, 21*time.Second, time.Hour, "")))
		}, "True PodsReady", false, nil},
		"out of memory": {func(s *scene) {
			oom := end(137, 10*time.Second, time.Second, "")
			oom.Reason = "OOMKilled"
			s.container(1, backingOff(1, oom))
			s.recorded(1, time.Minute, "Killing", "Container chat failed liveness probe, will be restarted")
		}, "False PodFailing", false, []string{"ended with exit code 137 (OOMKilled). It needs more memory than it may have: raise resources.limits.memory of template.spec.containers[chat]. Restarts: 1."}},
		"an init container has succeeded the second time": {func(s *scene) {
			s.Pods[0].Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "migrate", Ready: true, RestartCount: 1,
				State: corev1.ContainerState{Terminated: end(0, time.Minute, time.Second, "")}}}
		}, "True PodsReady", false, nil},
		"an init container fails": {func(s *scene) {
			s.Pods[0].Status.Phase = corev1.PodPending
			s.Pods[0].Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "migrate", State: corev1.ContainerState{Terminated: end(2, time.Second, time.Second, "no database\n")}}}
		}, "False PodFailing", false, []string{"Container migrate of pod chat-0 ended with exit code 2 (Error): no database. Restarts: 0."}},
		"a volume is missing": {func(s *scene) {
			s.Pods[0].Status.Phase = corev1.PodPending
			s.recorded(0, time.Second, "FailedMount", `MountVolume.SetUp failed for volume "x" : configmap "nope" not found`)
		}, "False PodsPending", true, []string{`Pod chat-0 is Pending: MountVolume.SetUp failed for volume "x" : configmap "nope" not found.`}},
		"the cookie is missing": {func(s *scene) {
			s.Pods[0].Status.Phase = corev1.PodPending
			delete(s.Secrets, "chat-cookie")
			s.recorded(0, time.Second, "FailedMount", `MountVolume.SetUp failed for volume "erlang-operator-cookie" : secret "chat-cookie" not found`)
		}, "False PodsPending", true, []string{`Pod chat-0 is Pending: MountVolume.SetUp failed for volume "erlang-operator-cookie", secret "chat-cookie" not found.`}},
		"a Secret was missing": {func(s *scene) {
			s.Pods[0].Status.Phase = corev1.PodPending
			s.recorded(0, time.Second, "FailedMount", `MountVolume.SetUp failed for volume "erlang-operator-cookie" : secret "chat-cookie" not found`)
		}, "False PodsPending", true, []string{`secret "chat-cookie" not found; the Secret is there now, and the kubelet mounts it within 2m2s; delete the pod to have it mounted sooner.`}},
		"evicted": {func(s *scene) {
			s.Pods[0].Status.Phase, s.Pods[0].Status.Reason, s.Pods[0].Status.Message = corev1.PodFailed, "Evicted", "The node was low on resource: memory. "
		}, "False PodsPending", true, []string{"Pod chat-0 is Failed: Evicted: The node was low on resource: memory."}},
		"another gate is closed": {func(s *scene) {
			s.podIs(0, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse,
				Reason: "ReadinessGatesNotReady", Message: `corresponding condition of pod readiness gate "example.com/x" does not exist.`})
		}, "False PodsPending", true, []string{`The node in pod chat-0 has joined, and the kubelet has not reported the pod Ready yet: corresponding condition of pod readiness gate "example.com/x" does not exist.`}},
	} {
		t.Run(name, func(t *testing.T) {
			s := whole(3)
			test.edit(s)
			conditions := s.describe(t).Status.Conditions
			nodes := meta.FindStatusCondition(conditions, v1alpha1.ConditionNodesReady)
			if got := fmt.Sprintf("%s %s", nodes.Status, nodes.Reason); got != test.want {
				t.Errorf("NodesReady is %s, want %s: %s", got, test.want, nodes.Message)
			}
			if waits := meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionReconciling); waits != test.waits {
				t.Errorf("Reconciling is %t, want %t", waits, test.waits)
			}
			for _, text := range test.says {
				if !strings.Contains(nodes.Message, text) {
					t.Errorf("the message does not contain %q:\n%s", text, nodes.Message)
				}
			}
		})
	}
}

// What containers said at their end, as it was on OTP 27 and Kubernetes 1.37, is quoted with
// a remedy.
func TestRemedyOfAnEnd(t *testing.T) {
	const start = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: "
	for said, want := range map[string]string{
		"Protocol 'inet_tls': not supported\n": "(Error): Protocol 'inet_tls': not supported. The release lacks the application ssl: add :ssl to extra_applications in mix.exs",
		`Kernel pid terminated ({bad_ssl_dist_optfile,[["/a"],["/b"]]},[{ssl_dist_sup,consult` + "\n\nCrash dump is being written to: erl_crash.dump...done\n": `: bad_ssl_dist_optfile,[["/a"],["/b"]]. -ssl_dist_optfile is given more than once`,
		`{{bad_ssl_dist_optfile,[\"/nope\"]},[{ssl_dist_sup,consult`:                                                                                           "The file of -ssl_dist_optfile cannot be read: remove the flag",
		"Protocol 'inet_tls': the name chat@chat-0 seems to be in use by another Erlang node\n":                                                                "Run it through /run/erlang-operator/bin/visitor.",
		"chat@chat-0.chat-nodes runs already. To start a BEAM beside it, put x before the command.\n":                                                          "(Error): chat@chat-0.chat-nodes runs already. Another BEAM of the pod has taken the name of the node",
		"Protocol 'inet_tls': register/listen error: eaddrinuse\n":                                                                                             "Another program of the pod listens on the port of the distribution",
		"2026-11-21 19:11:08.198509 std_info\n    {auth,{\"Cookie file /tmp/.erlang.cookie must be accessible by owner only\",[{auth":                          "(Error): Cookie file /tmp/.erlang.cookie must be accessible by owner only. The BEAM reads a cookie file",
		start + `exec: "/app/bin/chat": stat /app/bin/chat: no such file or directory`:                                                                         `(Error): exec: "/app/bin/chat": stat /app/bin/chat: no such file or directory. The image has no such program: correct command of template.spec.containers[chat].`,
		start + `exec: "chatd": executable file not found in $PATH`:                                                                                            "The image has no such program",
		"sh: 1: exec: /app/bin/chat: not found\n":                                                                                                              "(Error): sh: 1: exec: /app/bin/chat: not found. The image has no such program",
		start + "exec /run/erlang-operator/bin/node: no such file or directory":                                                                                "The image has no /bin/sh, which the operator's start program needs: set spec.runtime to Custom and give the BEAM -name $(ERLANG_NODE)",
		start + "something else": "(Error): something else. Restarts: 1.",
		"one\ntwo\n\nCrash dump is being written to: erl_crash.dump...done\n": "(Error): two. Restarts: 1.",
		"\n": "ended with exit code 1 (Error). Restarts: 1. See `kubectl describe pod chat-1` and `kubectl logs chat-1 -c chat --previous`.",
	} {
		s := whole(3)
		s.container(1, backingOff(1, end(1, 10*time.Second, time.Second, said)))
		nodes := meta.FindStatusCondition(s.describe(t).Status.Conditions, v1alpha1.ConditionNodesReady)
		if nodes.Reason != v1alpha1.ReasonPodFailing || !strings.Contains(nodes.Message, want) {
			t.Errorf("%q: the message of %s does not contain %q:\n%s", said, nodes.Reason, want, nodes.Message)
		}
	}
}

// What others say is quoted on one line, without secrets, and without what differs at each
// look.
func TestQuotes(t *testing.T) {
	const cookie = "TheCookieOfTheCluster"
	for said, want := range map[string]string{
		"one\n\x1b[31mred\x1b[0mtwo\n\x00":         "one redtwo",
		"\u202eesrever\u2028x":                     "esrever x",
		"{cookie,'" + cookie + "'} is not allowed": "{cookie,'[redacted]'} is not allowed",
		"erl -setcookie former@host 01234567 -x":   "erl -setcookie [redacted] -x",
		"RELEASE_COOKIE=01234567 x":                "RELEASE_COOKIE=[redacted] x",
		"no amqp://guest:hunter22@mq:5672/x":       "no amqp://guest:[redacted]@mq:5672/x",
		`Get "http://10.1.1.1:8080/": read tcp 10.1.0.1:43210->10.1.1.1:8080: i/o timeout`: `Get "http://10.1.1.1:8080/": read tcp 10.1.1.1:8080: i/o timeout`,
		"at 2026-11-21T19:11:08.12Z <0.47.0> died":                                         "at <pid> died",
		`errored: rpc error: code = Unknown desc = failed to exec in container: failed to start exec "372c4eedb36a2eb260921b65dad6e707": OCI: unable to start container process: exec: "chatctl": no`: `errored: exec: "chatctl": no`,
		strings.Repeat("x", 1000): strings.Repeat("x", 296) + " …",
	} {
		s := whole(3)
		s.container(1, running(3*time.Minute, false, 0, nil))
		s.recorded(1, time.Minute, "Unhealthy", "Readiness probe failed: "+said)
		nodes := meta.FindStatusCondition(s.describe(t).Status.Conditions, v1alpha1.ConditionNodesReady)
		got := regexp.MustCompile(`Readiness probe failed: (.*)\. Correct what`).FindStringSubmatch(nodes.Message)
		if got == nil || strings.Trim(got[1], " …x") != strings.Trim(want, " …x") || len(got[1]) > 300 {
			t.Errorf("%q is quoted as %q, want %q", said, got, want)
		}
	}
	s := whole(3)
	s.container(1, backingOff(1, end(1, time.Second, time.Second, cookie[10:]+strings.Repeat(" yyyyyyy", 256))))
	if nodes := meta.FindStatusCondition(s.describe(t).Status.Conditions, v1alpha1.ConditionNodesReady); strings.Contains(nodes.Message, cookie[10:]) {
		t.Errorf("the rest of a cookie at the beginning of what the kubelet kept is quoted: %s", nodes.Message)
	}
}
