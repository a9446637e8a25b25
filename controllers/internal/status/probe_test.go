package status_test

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// Why the probe's pod does not run is told with the field of spec.probe that helps.
func TestProbeThatDoesNotRun(t *testing.T) {
	unscheduled := func(message string) func(*scene, *corev1.Pod) {
		return func(_ *scene, pod *corev1.Pod) {
			pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: message}}
		}
	}
	waiting := func(reason, message string) func(*scene, *corev1.Pod) {
		return func(_ *scene, pod *corev1.Pod) {
			pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "probe",
				State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}}
		}
	}
	refused := func(message string) func(*scene, *corev1.Pod) {
		return func(s *scene, _ *corev1.Pod) {
			s.ProbePods = nil
			deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "chat-probe"}}
			deployment.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Message: message}}
			s.Owned = append(s.Owned, deployment)
		}
	}
	const see = " See `kubectl describe pod chat-probe-x`."
	for name, tt := range map[string]struct {
		edit func(*scene, *corev1.Pod)
		says string // empty for no cause
	}{
		"it starts": {func(*scene, *corev1.Pod) {}, ""},
		"a taint": {unscheduled("0/3 nodes are available: 3 node(s) had untolerated taint(s)."),
			"Its pod cannot be scheduled: 0/3 nodes are available: 3 node(s) had untolerated taint(s). Set spec.probe.tolerations so that a machine fits, or change the machines." + see},
		"a selector, and little memory": {unscheduled("0/3 nodes are available: 1 Insufficient memory, 2 node(s) didn't match Pod's node affinity/selector."),
			"Set spec.probe.nodeSelector or spec.probe.affinity, or spec.probe.resources so that a machine fits"},
		"another reason": {unscheduled("no nodes available to schedule pods"), "Set spec.probe.tolerations, spec.probe.nodeSelector or spec.probe.affinity so that"},
		"a registry that wants credentials": {waiting("ImagePullBackOff", `Back-off pulling image "registry.example.com/operator:v1": ErrImagePull: 401 Unauthorized`),
			"Its image cannot be pulled: Back-off pulling image \"registry.example.com/operator:v1\": ErrImagePull: 401 Unauthorized. If the registry needs credentials, name a Secret that has them in spec.probe.imagePullSecrets;"},
		"a pull secret that does not exist": {func(s *scene, pod *corev1.Pod) {
			waiting("ErrImagePull", "401 Unauthorized")(s, pod)
			s.PodEvents = map[string][]state.PodEvent{pod.Name: {{Reason: "FailedToRetrieveImagePullSecret",
				Note: "Unable to retrieve some image pull secrets (registry); attempting to pull the image may not succeed."}}}
		}, "The kubelet cannot retrieve the Secrets of its imagePullSecrets: registry. Create them in namespace shop, or change spec.probe.imagePullSecrets." + see},
		"too little memory": {func(_ *scene, pod *corev1.Pod) {
			pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "probe", RestartCount: 3,
				State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
				LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled", ExitCode: 137}}}}
		}, "Raise resources.limits.memory in spec.probe.resources." + see},
		"a container that cannot be created": {waiting("CreateContainerConfigError", "container has runAsNonRoot and image will run as root"),
			"Its pod cannot run: container probe: CreateContainerConfigError: container has runAsNonRoot and image will run as root." + see},
		"no sandbox": {func(s *scene, pod *corev1.Pod) {
			s.PodEvents = map[string][]state.PodEvent{pod.Name: {{Reason: "FailedCreatePodSandBox", Note: "plugin type=\"calico\" failed"}}}
		}, "Its pod is Pending: plugin type=\"calico\" failed." + see},
		"a policy that wants a label": {refused(`pods "chat-probe-x" is forbidden: ValidatingAdmissionPolicy 'team' with binding 'team' denied request: label team is required`),
			"Change ValidatingAdmissionPolicy team, or set what it asks for in spec.probe.labels, spec.probe.annotations, spec.probe.resources or another field of spec.probe. See `kubectl describe deployment chat-probe`."},
		"Pod Security": {refused(`pods "chat-probe-x" is forbidden: violates PodSecurity "own:latest": seccompProfile`),
			"Change the Pod Security level of the namespace, which is own:latest. See"},
		"a pod of somebody else's with the labels": {func(s *scene, pod *corev1.Pod) {
			unscheduled("no nodes available to schedule pods")(s, pod)
			pod.Name = "stray"
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := whole(2)
			s.Cluster.Status.Mesh = nil
			pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "chat-probe-x"}, Status: corev1.PodStatus{Phase: corev1.PodPending}}
			s.ProbePods = []corev1.Pod{pod}
			tt.edit(s, &s.ProbePods[0])
			mesh := meta.FindStatusCondition(s.describe(t).Status.Conditions, v1alpha1.ConditionMeshConnected)
			said, cause, _ := strings.Cut(mesh.Message, "The probe has not reported yet. ")
			if said != "" || mesh.Reason != v1alpha1.ReasonProbeNotReporting || !strings.Contains(cause, tt.says) || (tt.says == "") != strings.HasPrefix(cause, "See ") {
				t.Errorf("MeshConnected: %s: %q\nwant %q", mesh.Reason, mesh.Message, tt.says)
			}
		})
	}
}
