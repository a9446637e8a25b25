package state

import (
	"fmt"
	"slices"
	"strings"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// terminationSlack is how long after the end of its grace period, which is its deletion
// timestamp, a pod may take to be gone.
const terminationSlack = 30 * time.Second

// StuckAt is when a pod that terminates should be gone.
func StuckAt(pod corev1.Pod) time.Time { return pod.DeletionTimestamp.Add(terminationSlack) }

// HeldBy are the finalizers that keep a pod: those of others than Kubernetes, once the kubelet has ended
// the pod, or has never run it. Then it deletes the pod with a grace period of zero.
func HeldBy(pod *corev1.Pod) []string {
	if grace := pod.DeletionGracePeriodSeconds; pod.DeletionTimestamp == nil || grace == nil || *grace > 0 {
		return nil
	}
	return foreignFinalizers(pod)
}

func foreignFinalizers(object metav1.Object) []string {
	return slices.DeleteFunc(slices.Clone(object.GetFinalizers()), isOfKubernetes)
}

// deletion is that a Certificate is being deleted, which cert-manager issues no more, and what keeps it.
func deletion(certificate *certmanager.Certificate) string {
	finalizers := foreignFinalizers(certificate)
	if len(finalizers) == 0 {
		return "it is being deleted, and is made again once it is gone"
	}
	return fmt.Sprintf("it is being deleted, and its finalizers keep it: %s. Remove them, or see why nothing does: it is made again once it is gone",
		Shortened(strings.Join(finalizers, ", "), MaxCause))
}

// isOfKubernetes reports whether a controller of Kubernetes removes a finalizer, as that of a deletion in
// the foreground.
func isOfKubernetes(finalizer string) bool {
	domain, _, qualified := strings.Cut(finalizer, "/")
	return !qualified || domain == "kubernetes.io" || strings.HasSuffix(domain, ".kubernetes.io")
}
