package plan

import (
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// CredentialsAnnotation of a pod names the certificate and the trust bundle that its files
// should hold, and, while its node waits for another cookie, the version of that.
const CredentialsAnnotation = v1alpha1.Group + "/credentials"

// refreshAgain is how often a pod is changed whose file still has the former cookie: its
// kubelet may have learned of the pod before it learned of the Secret.
const refreshAgain = 10 * time.Second

// refresh makes the kubelet update a pod's files when their content changed. By itself it
// does so within some 90 s; when the pod changes, at once.
func refresh(p *Plan, s state.State) {
	for _, name := range s.Names.Pods(s.Replicas()) {
		pod, node := s.Pod(name), s.Node(name)
		waits := node != nil && node.FormerCookie
		leaf, ok := s.StoredCertificate(name)
		if pod == nil || pod.Status.Phase != corev1.PodRunning || pod.DeletionTimestamp != nil || isStarting(pod) && !waits {
			continue // A pod that starts gets what there is.
		}
		if !ok && !hasPodCertificate(*pod) || s.Trust().Empty() || p.deletes(s.Names.Certificate(name)) {
			continue // A foreign certificate is not given to it.
		}
		files := s.Trust().Identities()
		if !hasPodCertificate(*pod) {
			files = append([]string{certs.Serial(leaf.X509)}, files...)
		}
		// Not before: the probe changes the cookie of the node when the file changes.
		if waits {
			begun := s.Now.Truncate(refreshAgain)
			files = append(files, s.Cluster.Status.Mesh.CookieVersion, strconv.FormatInt(begun.Unix(), 36))
			p.again(begun.Add(refreshAgain))
		}
		credentials := strings.Join(files, ".")
		if pod.Annotations[CredentialsAnnotation] != credentials {
			p.Refresh = append(p.Refresh, applycore.Pod(name, s.Names.Namespace).WithUID(pod.UID).
				WithAnnotations(map[string]string{CredentialsAnnotation: credentials}))
		}
	}
}

// isStarting reports whether a pod has not been Ready yet. A kubelet looks at a pod that has changed only
// when it has listed all containers again, up to a second later, and at what changed meanwhile a second
// after that: such as the readiness gate.
func isStarting(pod *corev1.Pod) bool {
	return pod.Annotations[CredentialsAnnotation] == "" && !state.IsTrue(pod, corev1.PodReady)
}
