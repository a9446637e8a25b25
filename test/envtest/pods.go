package envtest

import (
	"fmt"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// startPods creates the pods of a StatefulSet as its controller would, and sets them
// running as a kubelet would. Each must have got its own identity by admission.
func startPods(t *testing.T, set *appsv1.StatefulSet, from, to int) []*corev1.Pod {
	t.Helper()
	var pods []*corev1.Pod
	for ordinal := from; ordinal < to; ordinal++ {
		pod := podOf(set, ordinal)
		if err := admin.Create(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
		expectIdentity(t, pod)
		updateStatus(t, pod, func() {
			pod.Status.Phase = corev1.PodRunning
			pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.ContainersReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}}
		})
		pods = append(pods, pod)
	}
	observeStatefulSet(t, set)
	return pods
}

// podOf is the pod of an ordinal, as the StatefulSet controller would create it.
func podOf(set *appsv1.StatefulSet, ordinal int) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: *set.Spec.Template.ObjectMeta.DeepCopy(), Spec: *set.Spec.Template.Spec.DeepCopy()}
	pod.Namespace, pod.Name = set.Namespace, fmt.Sprintf("%s-%d", set.Name, ordinal)
	pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("StatefulSet"))}
	metav1.SetMetaDataLabel(&pod.ObjectMeta, appsv1.ControllerRevisionHashLabelKey, "chat-1") // as observeStatefulSet has it
	pod.Spec.Hostname, pod.Spec.Subdomain = pod.Name, set.Spec.ServiceName
	return pod
}

// observeStatefulSet reports, as the StatefulSet controller would, that the rollout is
// complete.
func observeStatefulSet(t *testing.T, set *appsv1.StatefulSet) {
	t.Helper()
	updateStatus(t, set, func() {
		replicas := *set.Spec.Replicas
		set.Status = appsv1.StatefulSetStatus{
			ObservedGeneration: set.Generation, Replicas: replicas, CurrentReplicas: replicas, UpdatedReplicas: replicas,
			CurrentRevision: "chat-1", UpdateRevision: "chat-1",
		}
	})
}

// expectIdentity requires that a pod mounts its own key and the cookie, and no other Secret.
func expectIdentity(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	var mounted []string
	for _, volume := range pod.Spec.Volumes {
		if volume.Secret != nil {
			for _, item := range volume.Secret.Items {
				mounted = append(mounted, volume.Secret.SecretName+" "+item.Key)
			}
		}
	}
	slices.Sort(mounted)
	if want := []string{pod.Name + "-tls tls-combined.pem", "chat-cookie cookie"}; !slices.Equal(mounted, want) {
		t.Errorf("pod %s mounts %v, want %v", pod.Name, mounted, want)
	}
	if there, err := exists(t.Context(), &corev1.Secret{ObjectMeta: named(pod.Namespace, pod.Name+"-tls")}); err != nil || !there {
		t.Errorf("the Secret of pod %s is there: %t, %v", pod.Name, there, err)
	}
}
