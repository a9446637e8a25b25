package state

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// terminationSlack is how long after the end of its grace period, which is its deletion
// timestamp, a pod may take to be gone.
const terminationSlack = 30 * time.Second

// StuckAt is when a pod that terminates should be gone.
func StuckAt(pod corev1.Pod) time.Time { return pod.DeletionTimestamp.Add(terminationSlack) }
