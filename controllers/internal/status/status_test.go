package status_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/certstest"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/rollout"
	"github.com/erlang-operator/erlang-operator/controllers/internal/rotation"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
	"github.com/erlang-operator/erlang-operator/controllers/internal/status"
)

const text = `
metadata: {name: chat, namespace: shop}
spec:
  replicas: 3
  template: {spec: {containers: [{name: chat, image: "example.com/chat:1"}]}}
`

// A scene is a cluster, its plan, and what came of it.
type scene struct {
	state.State
	plan    plan.Plan
	outcome status.Outcome
}

// whole is a cluster of so many nodes in which all is well.
func whole(replicas int32) *scene {
	cluster := statetest.MustCluster(text)
	cluster.Spec.Replicas = &replicas
	situation := statetest.Situation{
		CA: "blue", Trust: []string{"blue"}, Cookie: "TheCookieOfTheCluster",
		Issued:      []statetest.Issued{{To: "chat-probe", By: "blue"}},
		StatefulSet: &statetest.StatefulSet{Replicas: replicas},
	}
	mesh := &v1alpha1.MeshStatus{
		ObservedGeneration: cluster.Generation, Components: 1, Links: replicas * (replicas - 1) / 2,
	}
	for ordinal := range replicas {
		pod := fmt.Sprintf("chat-%d", ordinal)
		situation.Issued = append(situation.Issued, statetest.Issued{To: pod, By: "blue"})
		situation.Pods = append(situation.Pods, statetest.Pod{Name: pod})
		mesh.Nodes = append(mesh.Nodes, v1alpha1.NodeStatus{
			Pod: pod, PodUID: "uid-of-pod-" + pod, Node: "chat@" + pod, Stage: v1alpha1.StageCall, Reason: v1alpha1.ReasonVerified,
			OTPRelease: "27", Incarnation: 42, StartedAt: ptr.To(metav1.NewTime(statetest.Now.Add(-time.Hour))),
			Links: replicas - 1, CertificateNotAfter: ptr.To(metav1.NewTime(certstest.End)),
			Refusals: &v1alpha1.RefusalStatus{Incarnation: 42},
		})
	}
	cluster.Status.Mesh = mesh
	return &scene{State: situation.Seen(cluster)}
}

// silence is that nothing was heard of the probe for too long.
func (s *scene) silence() {
	s.HeartbeatObserved, s.ProbeHolder = s.Now.Add(-state.HeartbeatTimeout-time.Second), "chat-probe-a"
}

func probePod(name, machine string) corev1.Pod {
	return corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{NodeName: machine}}
}

// lost are machines whose kubelets have been silent for a minute.
func lost(machines ...string) map[string]state.LostMachine {
	all := map[string]state.LostMachine{}
	for _, name := range machines {
		all[name] = state.LostMachine{Since: statetest.Now.Add(-time.Minute), Says: "Kubelet stopped posting node status."}
	}
	return all
}

func (s *scene) node(ordinal int) *v1alpha1.NodeStatus { return &s.Cluster.Status.Mesh.Nodes[ordinal] }

// podIs is that a pod has a condition, in place of the one of that type.
func (s *scene) podIs(ordinal int, condition corev1.PodCondition) {
	conditions := &s.Pods[ordinal].Status.Conditions
	*conditions = append(slices.DeleteFunc(*conditions, func(c corev1.PodCondition) bool { return c.Type == condition.Type }), condition)
}

// without is that a pod is missing, because its creation failed.
func (s *scene) without(pod, cause string) {
	s.Pods = slices.DeleteFunc(s.Pods, func(p corev1.Pod) bool { return p.Name == pod })
	s.PodFailures = map[string]string{pod: cause}
}

// remember is that the certificates were stored some time ago.
func (s *scene) remember(ago time.Duration) {
	report := status.Compute(s.State, s.plan, s.outcome)
	s.Cluster.Status.StoredCertificates = report.Status.StoredCertificates
	for i := range s.Cluster.Status.StoredCertificates {
		s.Cluster.Status.StoredCertificates[i].StoredSince = metav1.NewTime(s.Now.Add(-ago))
	}
}

// describe computes the report, and checks the discipline of its conditions.
func (s *scene) describe(t failer) status.Report {
	t.Helper()
	observed := s.State
	if observed.HeartbeatObserved.IsZero() {
		observed.HeartbeatObserved = s.Now.Add(-5 * time.Second)
	}
	report := status.Compute(observed, s.plan, s.outcome)
	checkDiscipline(t, s.Cluster, report.Status)
	return report
}

func TestConditions(t *testing.T) {
	failed := func(s *scene, ordinal int, stage v1alpha1.Stage, reason, message string) {
		node := s.node(ordinal)
		node.Stage, node.Reason, node.Message = stage, reason, message
	}
	waiting := func(pod *corev1.Pod, reason, message string) {
		pod.Status.Phase = corev1.PodPending
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "chat",
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}}
	}
	unready := func(pod *corev1.Pod, since time.Time) {
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.ContainersReady, Status: corev1.ConditionFalse,
			LastTransitionTime: metav1.NewTime(since), Message: "containers with unready status: [chat]"}}
	}
	issuing := func(s *scene, name string, status certmanagermeta.ConditionStatus, reason, message string, ago time.Duration) {
		delete(s.Secrets, name)
		awaited(s, name, status, reason, message, ago)
	}
	request := func(s *scene, name string, conditions ...certmanager.CertificateRequestCondition) {
		s.Requests = map[string]*certmanager.CertificateRequest{name: {
			ObjectMeta: metav1.ObjectMeta{Name: name + "-1"}, Status: certmanager.CertificateRequestStatus{Conditions: conditions}}}
	}
	issued := certmanager.CertificateRequestCondition{Type: certmanager.CertificateRequestConditionReady,
		Status: certmanagermeta.ConditionTrue, Reason: "Issued", Message: "Certificate fetched from issuer successfully"}
	tests := map[string]struct {
		replicas int32
		edit     func(*scene)
		ready    string // status and reason
		reason   string // of Reconciling or Stalled
		says     []string
	}{
		"all is well":    {edit: func(*scene) {}, ready: "True MeshVerified", says: []string{"All 3 nodes"}},
		"one node":       {replicas: 1, edit: func(*scene) {}, ready: "True MeshVerified"},
		"scaled to zero": {replicas: -1, edit: func(*scene) {}, ready: "True ScaledToZero"},
		"to be scaled to zero": {edit: func(s *scene) { s.Cluster.Spec.Replicas = ptr.To[int32](0) },
			ready: "False ScalingDown", reason: "Reconciling ScalingDown", says: []string{"no nodes, and 3 pods still exist"}},
		"a foreign pod with our labels": {
			edit: func(s *scene) {
				s.Pods = append(s.Pods, corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "stray"}, Status: corev1.PodStatus{Phase: corev1.PodRunning}})
			}, ready: "True MeshVerified"},
		"the probe never spoke": {edit: func(s *scene) { s.Cluster.Status.Mesh = nil }, ready: "False ProbeNotReporting", reason: "Reconciling ProbeNotReporting", says: []string{"kubectl logs deployment/chat-probe"}},
		"the probe's pod cannot be created": {edit: func(s *scene) {
			s.Cluster.Status.Mesh = nil
			deployment := &appsv1.Deployment{TypeMeta: metav1.TypeMeta{Kind: "Deployment"}, ObjectMeta: metav1.ObjectMeta{Name: "chat-probe"}}
			deployment.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Message: `pods "chat-probe-x" is forbidden: exceeded quota: few, requested: pods=1`}}
			s.Owned = append(s.Owned, deployment)
		}, ready: "False ProbeNotReporting", says: []string{"Its pod cannot be created: pods", "exceeded quota: few, requested: pods=1. Raise ResourceQuota few, or ask for less in spec.probe.resources. See `kubectl describe deployment chat-probe`."}},
		"a pod cannot be created": {edit: func(s *scene) {
			s.without("chat-1", `pods "chat-1" is forbidden: error looking up service account shop/web: serviceaccount "web" not found`)
			s.Pods[0].Status.Phase = corev1.PodPending
		}, ready: "False Rejected", says: []string{"Pod chat-1 cannot be created: pods", "Create ServiceAccount web, or change template.spec.serviceAccountName.", "#rejected"}},
		"the creation of a pod failed": {edit: func(s *scene) { s.without("chat-1", "etcdserver: request timed out") },
			ready: "False PodsPending", reason: "Reconciling PodsPending", says: []string{"Pod chat-1 could not be created, which is tried again: etcdserver: request timed out."}},
		"the webhook that gives pods their certificates does not answer": {edit: func(s *scene) {
			s.without("chat-1", `Internal error occurred: failed calling webhook "member-identity.erlang-operator.dev": failed to call webhook: Post "https://erlang-operator-webhook.erlang-operator-system.svc:443/assign-pod-identity?timeout=5s": no endpoints available for service "erlang-operator-webhook"`)
		}, ready: "False PodsPending", reason: "Reconciling PodsPending", says: []string{"no endpoints available", "cannot call the webhook of the manager: check that its pods are Ready"}},
		"a pod is not there, and its creation has not failed": {edit: func(s *scene) { s.without("chat-1", ""); s.PodFailures = nil },
			ready: "False PodsPending", reason: "Reconciling PodsPending", says: []string{"Pod chat-1 does not exist yet"}},
		"a pod is there that could not be created before": {edit: func(s *scene) { s.PodFailures = map[string]string{"chat-1": "is forbidden"} },
			ready: "True MeshVerified"},
		"the probe looks at an older spec": {
			edit: func(s *scene) { s.Cluster.Generation = 2 }, ready: "True MeshVerified", reason: "Reconciling Progressing"},
		"a cookie differs": {
			edit: func(s *scene) {
				failed(s, 1, v1alpha1.StageHandshake, v1alpha1.ReasonCookieMismatch, "It has another cookie. Restart it")
			},
			ready: "False CookieMismatch", says: []string{"Pod chat-1, stage Handshake: It has another cookie. Restart it."}},
		"DNS does not know a new pod yet": {
			edit: func(s *scene) {
				s.Pods[1].CreationTimestamp = ago(5 * time.Second)
				failed(s, 1, v1alpha1.StageResolve, v1alpha1.ReasonNameResolutionFailed, "No DNS record.")
			},
			ready: "False Progressing", reason: "Reconciling Progressing", says: []string{"DNS may take 30s to have a new pod. Pod chat-1, stage Resolve: No DNS record."}},
		"DNS does not know a pod that waited for its image": {
			edit: func(s *scene) {
				s.Pods[1].CreationTimestamp = ago(time.Hour)
				s.container(1, running(5*time.Second, true, 0, nil))
				failed(s, 1, v1alpha1.StageResolve, v1alpha1.ReasonNameResolutionFailed, "No DNS record.")
			},
			ready: "False Progressing", reason: "Reconciling Progressing"},
		"DNS still does not know a pod": {
			edit: func(s *scene) {
				s.Pods[1].CreationTimestamp = ago(31 * time.Second)
				failed(s, 1, v1alpha1.StageResolve, v1alpha1.ReasonNameResolutionFailed, "No DNS record.")
			},
			ready: "False NameResolutionFailed", reason: "Reconciling NameResolutionFailed", says: []string{"Pod chat-1, stage Resolve: No DNS record."}},
		"another node fails while DNS does not know a new pod": {
			edit: func(s *scene) {
				s.Pods[0].CreationTimestamp = ago(5 * time.Second)
				failed(s, 0, v1alpha1.StageResolve, v1alpha1.ReasonNameResolutionFailed, "No DNS record.")
				failed(s, 1, v1alpha1.StageHandshake, v1alpha1.ReasonCookieMismatch, "It has another cookie.")
			},
			ready: "False CookieMismatch", says: []string{"Pod chat-1, stage Handshake: It has another cookie."}},
		"two nodes fail": {
			edit: func(s *scene) {
				failed(s, 1, v1alpha1.StageConnect, v1alpha1.ReasonConnectionRefused, "Nobody listens.")
				failed(s, 2, v1alpha1.StageTLS, v1alpha1.ReasonCertificateExpired, "It expired.")
			},
			ready: "False ConnectionRefused", says: []string{"Pod chat-1", "Also: chat-2 (CertificateExpired)."}},
		"a node was not looked at yet": {
			edit:  func(s *scene) { s.Cluster.Status.Mesh.Nodes = s.Cluster.Status.Mesh.Nodes[:2] },
			ready: "False Progressing", reason: "Reconciling Progressing", says: []string{"chat-2"}},
		"two parts": {
			edit: func(s *scene) {
				s.Cluster.Status.Mesh.Components, s.Cluster.Status.Mesh.Links = 2, 1
				s.node(2).MissingLinks = []string{"chat-0", "chat-1"}
			},
			ready: "False Partitioned", says: []string{"2 components", "verified: chat-0, chat-1 | chat-2; ", "chat-2 is not linked to chat-0, chat-1"}},
		"a link is missing": {
			edit: func(s *scene) {
				s.Cluster.Status.Mesh.Links = 2
				s.node(0).MissingLinks, s.node(1).MissingLinks = []string{"chat-1"}, []string{"chat-0"}
			},
			ready: "False LinkMissing", says: []string{"2 of 3 links", "chat-0 is not linked to chat-1; chat-1 is not linked to chat-0", "If this persists"}},
		"a link cannot be made": {
			edit: func(s *scene) {
				s.Cluster.Status.Mesh.Links = 2
				s.node(0).MissingLinks, s.node(1).MissingLinks = []string{"chat-1"}, []string{"chat-0"}
				s.node(1).Message = "chat@chat-1 cannot connect to chat@chat-0; see the logs"
			},
			ready: "False LinkMissing", says: []string{"2 of 3 links", "chat@chat-1 cannot connect to chat@chat-0; see the logs."}},
		"suspended": {edit: func(s *scene) { s.suspend(); s.Cluster.Generation = 2 }, ready: "True MeshVerified"},
		"suspended, and somebody has to act": {edit: func(s *scene) {
			s.suspend()
			s.plan.Problems = []plan.Problem{{Reason: v1alpha1.ReasonPodIdentityMissing, Message: "none"}}
		}, ready: "False PodIdentityMissing", reason: "Stalled PodIdentityMissing"},
		"a link is missing that the application makes": {
			edit: func(s *scene) {
				s.Cluster.Spec.Distribution.Formation = v1alpha1.FormationApplication
				s.Cluster.Status.Mesh.Links = 2
				s.node(0).MissingLinks, s.node(1).MissingLinks = []string{"chat-1"}, []string{"chat-0"}
			},
			ready: "False LinkMissing", says: []string{"chat-1 is not linked to chat-0. The application is to connect them"}},
		"suspended, no cookie yet": {edit: func(s *scene) { s.suspend(); delete(s.Secrets, "chat-cookie") }, ready: "False Suspended",
			says: []string{"Nothing is done about it while suspend is true."}},
		"suspended, with a link missing": {
			edit: func(s *scene) {
				s.suspend()
				s.Cluster.Status.Mesh.Links = 2
				s.node(0).MissingLinks, s.node(1).MissingLinks = []string{"chat-1"}, []string{"chat-0"}
			},
			ready: "False LinkMissing", says: []string{"2 of 3 links", "Nobody reconnects them while suspend is true, unless the application does."}},
		"the refusals were not tried": {
			edit: func(s *scene) { s.node(1).Refusals = nil }, ready: "False AwaitingProof", reason: "Reconciling AwaitingProof", says: []string{"chat-1"}},
		"the refusals are of before a restart": {
			edit: func(s *scene) { s.node(1).Incarnation = 43 }, ready: "False AwaitingProof", reason: "Reconciling AwaitingProof", says: []string{"chat-1"}},
		"a node lets anybody in": {
			edit: func(s *scene) {
				s.node(2).Refusals.Accepted = []v1alpha1.RefusalTrial{v1alpha1.TrialPlaintext, v1alpha1.TrialNoCertificate}
			},
			ready: "False MutualTLSNotEnforced", says: []string{"chat-2", "Plaintext, NoCertificate"}},
		"a node was just given another certificate": {
			edit: func(s *scene) { s.node(1).CertificateSerial = "17" }, ready: "True MeshVerified",
			reason: "Reconciling CertificateNotServed", says: nil},
		"a node has not learned of its certificate": {
			edit: func(s *scene) {
				s.node(1).CertificateSerial = "17"
				s.remember(6 * time.Minute)
			},
			ready: "False CertificateNotServed", says: []string{"Pod chat-1", "Secret chat-1-tls", "2026-01-02T11:54:00Z"}},
		"a node serves what was stored long ago": {
			edit: func(s *scene) { s.remember(6 * time.Minute) }, ready: "True MeshVerified"},
		"a CA rotates": {
			edit: func(s *scene) {
				s.rotates(v1alpha1.RotationWideningTrust)
			},
			ready: "True MeshVerified", reason: "Reconciling RotatingCA"},
		"no cookie yet": {edit: func(s *scene) { delete(s.Secrets, "chat-cookie") }, ready: "False Progressing", reason: "Reconciling Progressing"},
		"the cookie was created in this pass": {edit: func(s *scene) {
			delete(s.Secrets, "chat-cookie")
			s.plan.Create = []*corev1.Secret{{}}
		}, ready: "True MeshVerified"},
		"the cookie could not be created": {edit: func(s *scene) {
			delete(s.Secrets, "chat-cookie")
			s.plan.Create, s.outcome.Err = []*corev1.Secret{{}}, errors.New("no")
		}, ready: "False Progressing", reason: "Reconciling Progressing"},
		"no trust bundle yet": {edit: func(s *scene) { s.Distribution = nil }, ready: "False CertificatesPending", reason: "Reconciling CertificatesPending"},
		"a certificate was not asked for yet": {
			edit:  func(s *scene) { delete(s.Secrets, "chat-1-tls"); delete(s.Certificates, "chat-1-tls") },
			ready: "False CertificatesPending", reason: "Reconciling CertificatesPending", says: []string{"chat-1-tls"}},
		"the Secret of an old certificate was just deleted": {
			edit: func(s *scene) {
				delete(s.Secrets, "chat-1-tls")
				s.Certificates["chat-1-tls"].CreationTimestamp = metav1.NewTime(s.Now.Add(-time.Hour))
			},
			ready: "False CertificatesPending", reason: "Reconciling CertificatesPending", says: []string{"chat-1-tls", "since " + statetest.Now.Format(time.RFC3339)}},
		"a certificate is being issued": {
			edit: func(s *scene) {
				issuing(s, "chat-1-tls", certmanagermeta.ConditionTrue, "DoesNotExist", "Issuing", time.Minute)
			},
			ready: "False CertificatesPending", reason: "Reconciling CertificatesPending",
			says: []string{"chat-1-tls, since 2026-01-02T11:59:00Z: cert-manager has made no CertificateRequest yet."}},
		"a quota allows no private key": {
			edit: func(s *scene) {
				issuing(s, "chat-1-tls", certmanagermeta.ConditionTrue, "DoesNotExist", "Issuing", time.Minute)
				s.SecretQuota = "shop"
			},
			ready: "False CertificatesPending", reason: "Reconciling CertificatesPending",
			says: []string{"cert-manager has made no CertificateRequest yet: ResourceQuota shop allows no more Secrets. Raise it, or"}},
		"a quota allows no certificate": {
			edit: func(s *scene) {
				issuing(s, "chat-1-tls", certmanagermeta.ConditionTrue, "DoesNotExist", "Issuing", 6*time.Minute)
				request(s, "chat-1-tls", issued)
				s.Requests["chat-1-tls"].CreationTimestamp = metav1.NewTime(s.Now.Add(-6 * time.Minute))
				s.SecretQuota = "shop"
			},
			ready: "False CertificateOverdue",
			says:  []string{"CertificateRequest chat-1-tls-1 is answered, and cert-manager has not stored the certificate: ResourceQuota shop allows no more Secrets."}},
		"only the request of the issuance before is answered": {
			edit: func(s *scene) {
				issuing(s, "chat-1-tls", certmanagermeta.ConditionTrue, "DoesNotExist", "Issuing", time.Minute)
				request(s, "chat-1-tls", issued)
				s.Requests["chat-1-tls"].CreationTimestamp = metav1.NewTime(s.Now.Add(-2 * time.Minute))
			},
			ready: "False CertificatesPending", reason: "Reconciling CertificatesPending", says: []string{"no new CertificateRequest yet."}},
		"the issuer takes its time": {
			edit: func(s *scene) {
				issuing(s, "chat-1-tls", certmanagermeta.ConditionTrue, "DoesNotExist", "Issuing", time.Minute)
				request(s, "chat-1-tls", certmanager.CertificateRequestCondition{Type: certmanager.CertificateRequestConditionReady,
					Status: certmanagermeta.ConditionFalse, Reason: "Pending", Message: "Waiting on certificate issuance from order shop/x: \"pending\"."})
			},
			ready: "False CertificatesPending", reason: "Reconciling CertificatesPending",
			says: []string{`CertificateRequest chat-1-tls-1: Waiting on certificate issuance from order shop/x: "pending".`}},
		"the issuer takes too long": {
			edit: func(s *scene) {
				issuing(s, "chat-1-tls", certmanagermeta.ConditionTrue, "DoesNotExist", "Issuing", 6*time.Minute)
				request(s, "chat-1-tls", certmanager.CertificateRequestCondition{Type: certmanager.CertificateRequestConditionApproved, Status: certmanagermeta.ConditionTrue})
			},
			ready: "False CertificateOverdue",
			says:  []string{"chat-1-tls", "more than 5m0s, since 2026-01-02T11:54:00Z", "no controller has processed CertificateRequest chat-1-tls-1"}},
		"nobody approves": {
			edit: func(s *scene) {
				issuing(s, "chat-1-tls", certmanagermeta.ConditionTrue, "DoesNotExist", "Issuing", 6*time.Minute)
				request(s, "chat-1-tls")
			},
			ready: "False CertificateOverdue", says: []string{"CertificateRequest chat-1-tls-1 is not approved"}},
		"cert-manager does not run": {
			edit: func(s *scene) {
				delete(s.Secrets, "chat-1-tls")
				s.Certificates["chat-1-tls"] = &certmanager.Certificate{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(s.Now.Add(-time.Hour))}}
			},
			ready: "False CertificateOverdue", says: []string{"chat-1-tls", "check that it is running"}},
		"a Certificate is kept by a finalizer": {
			edit: func(s *scene) {
				delete(s.Secrets, "chat-1-tls")
				s.Certificates["chat-1-tls"] = &certmanager.Certificate{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(s.Now.Add(-time.Hour)),
					DeletionTimestamp: ptr.To(metav1.NewTime(s.Now.Add(-6 * time.Minute))), Finalizers: []string{"foregroundDeletion", "example.com/backup"}}}
			},
			ready: "False CertificateOverdue", says: []string{"Certificate chat-1-tls has not been issued for more than 5m0s, since 2026-01-02T11:54:00Z: " +
				"it is being deleted, and its finalizers keep it: example.com/backup. Remove them, or see why nothing does: it is made again once it is gone."}},
		"a Certificate is about to be gone": {
			edit: func(s *scene) {
				refused(s, "chat-1-tls", 2)
				s.Certificates["chat-1-tls"].DeletionTimestamp = ptr.To(metav1.NewTime(s.Now))
			},
			ready: "False CertificatesPending", reason: "Reconciling CertificatesPending", says: []string{"chat-1-tls, since 2026-01-02T12:00:00Z: it is being deleted, and is made again once it is gone."}},
		"the CA is not there": {
			edit: func(s *scene) {
				s.Distribution = nil
				issuing(s, "chat-ca", certmanagermeta.ConditionTrue, "DoesNotExist", "Issuing", 6*time.Minute)
			},
			ready: "False CertificateOverdue", says: []string{"Certificate chat-ca has not been issued"}},
		"a certificate failed": {
			edit: func(s *scene) {
				issuing(s, "chat-1-tls", certmanagermeta.ConditionFalse, "Failed", "not allowed here", time.Minute)
			},
			ready: "False CertificateRefused", says: []string{"chat-1-tls", "not allowed here.", "kubectl describe certificate chat-1-tls"}},
		"a certificate was denied": {
			edit: func(s *scene) {
				issuing(s, "chat-1-tls", certmanagermeta.ConditionFalse, "policy.example.com", "no policy approved it", time.Minute)
			},
			ready: "False CertificateRefused", says: []string{"no policy approved it"}},
		"a certificate of an issuer of ours failed": {
			edit:  func(s *scene) { refused(s, "chat-1-tls", 1) },
			ready: "False CertificatesPending", reason: "Reconciling CertificatesPending", says: []string{"chat-1-tls", "not allowed here. It is to try again at 2026-01-02T11:59:31Z."}},
		"it failed again": {
			edit:  func(s *scene) { refused(s, "chat-1-tls", 2) },
			ready: "False CertificateRefused", says: []string{"chat-1-tls", "not allowed here. It is to try again at 2026-01-02T12:00:30Z.",
				"See `kubectl describe certificate chat-1-tls`, or have it tried again at once by `kubectl delete certificate chat-1-tls`: it is made again."}},
		"that of a CA failed": {
			edit: func(s *scene) {
				s.Distribution = nil
				refused(s, "chat-ca", 2)
				s.Certificates["chat-ca"].Spec.IsCA = true
			},
			ready: "False CertificateRefused", says: []string{"It is to try again at 2026-01-02T12:00:30Z. See `kubectl describe certificate chat-ca`."}},
		"somebody has written that it failed in many years": {
			edit: func(s *scene) {
				refused(s, "chat-1-tls", 1<<31)
				retried(s, "chat-1-tls", -24*365*70*time.Hour)
			},
			ready: "False CertificatesPending", reason: "Reconciling CertificatesPending", says: []string{"chat-1-tls, since 2026-01-02T12:00:00Z: cert-manager has made no CertificateRequest yet"}},
		"an issuer says a lot": {
			edit: func(s *scene) {
				issuing(s, "chat-1-tls", certmanagermeta.ConditionFalse, "Failed", strings.Repeat("…", 10_000), time.Minute)
			},
			ready: "False CertificateRefused", says: []string{"chat-1-tls: ……", "… …. It retries with increasing delays. See `kubectl describe certificate chat-1-tls`, or have"}},
		"it is retried after many failures": {
			edit: func(s *scene) {
				refused(s, "chat-1-tls", 7)
				retried(s, "chat-1-tls", 32*time.Minute+3*time.Second)
			},
			ready: "False CertificatesPending", reason: "Reconciling CertificatesPending", says: []string{"chat-1-tls, since 2026-01-02T11:59:57Z: cert-manager has made no CertificateRequest yet"}},
		"it is retried when the manager is back": {
			edit: func(s *scene) {
				refused(s, "chat-1-tls", 7)
				retried(s, "chat-1-tls", 24*time.Hour)
				s.Requests["chat-1-tls"] = &certmanager.CertificateRequest{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(s.Now.Add(-3 * time.Second))}}
			},
			ready: "False CertificatesPending", reason: "Reconciling CertificatesPending", says: []string{"chat-1-tls, since 2026-01-02T11:59:57Z"}},
		"a retry takes long": {
			edit: func(s *scene) {
				refused(s, "chat-1-tls", 7)
				retried(s, "chat-1-tls", 32*time.Minute+5*time.Minute+time.Second)
			},
			ready: "False CertificateOverdue", says: []string{"since 2026-01-02T11:54:59Z"}},
		"an issuer gave a key that is not ours": {
			edit: func(s *scene) {
				issuing(s, "chat-1-tls", certmanagermeta.ConditionFalse, "InvalidCertificate", "a public key that does not match the CSR", time.Minute)
			},
			ready: "False CertificateRefused", says: []string{"a public key that does not match"}},
		"a node serves what has expired": {
			edit:  func(s *scene) { s.node(1).CertificateNotAfter = ptr.To(metav1.NewTime(s.Now.Add(-time.Minute))) },
			ready: "False CertificateExpired", says: []string{"The certificate that pod chat-1 serves expired at 2026-01-02T11:59:00Z"}},
		"a certificate expired": {
			edit: func(s *scene) {
				s.Now = certstest.End.Add(time.Hour)
			},
			ready: "False CertificateExpired", says: []string{"Secret chat-0-tls expired at 2026-01-31"}},
		"the trust bundle lost the CA": {
			edit: func(s *scene) {
				s.Distribution = statetest.Situation{Trust: []string{"green"}}.Seen(s.Cluster).Distribution
			},
			ready: "False CertificateUntrusted", says: []string{"chat-0-tls"}},
		"a pod is missing": {
			edit: func(s *scene) { s.Pods = s.Pods[:2] }, ready: "False PodsPending", reason: "Reconciling PodsPending", says: []string{"chat-2", "kubectl describe statefulset chat"}},
		"a pod is leaving": {
			edit:  func(s *scene) { s.Pods[1].DeletionTimestamp = &metav1.Time{Time: s.Now} },
			ready: "False PodsPending", reason: "Reconciling PodsPending", says: []string{"chat-1 is being replaced"}},
		"a pod does not leave": {
			edit: func(s *scene) {
				s.Pods[1].DeletionTimestamp, s.Pods[1].Spec.NodeName = &metav1.Time{Time: s.Now.Add(-time.Minute)}, "worker-3"
			},
			ready: "False PodTerminating", says: []string{"Pod chat-1 should have been gone since 2026-01-02T11:59:00Z", "its machine, worker-3, is off",
				"`kubectl taint node worker-3 node.kubernetes.io/out-of-service=nodeshutdown:NoExecute`", "`kubectl describe pod chat-1`"}},
		"a finalizer keeps a pod": {
			edit: func(s *scene) {
				s.Pods[1].DeletionTimestamp, s.Pods[1].Spec.NodeName = &metav1.Time{Time: s.Now.Add(-time.Minute)}, "worker-3"
				s.Pods[1].Finalizers, s.Pods[1].DeletionGracePeriodSeconds = []string{"foregroundDeletion", "example.com/backup"}, ptr.To[int64](0)
			},
			ready: "False PodTerminating", says: []string{"its place is empty until it is. Its finalizers keep it: example.com/backup. Remove them, or see why nothing does."}},
		"the kubelet of a pod with a finalizer is not done": {
			edit: func(s *scene) {
				s.Pods[1].DeletionTimestamp, s.Pods[1].Spec.NodeName = &metav1.Time{Time: s.Now.Add(-time.Minute)}, "worker-3"
				s.Pods[1].Finalizers, s.Pods[1].DeletionGracePeriodSeconds = []string{"example.com/backup"}, ptr.To[int64](30)
			},
			ready: "False PodTerminating", says: []string{"its place is empty until it is. If its machine, worker-3, is off"}},
		"a finalizer of Kubernetes keeps a pod": {
			edit: func(s *scene) {
				s.Pods[1].DeletionTimestamp, s.Pods[1].DeletionGracePeriodSeconds = &metav1.Time{Time: s.Now.Add(-time.Minute)}, ptr.To[int64](0)
				s.Pods[1].Finalizers = []string{"foregroundDeletion", "kubernetes.io/x", "batch.kubernetes.io/job-tracking"}
			},
			ready: "False PodTerminating", says: []string{"its place is empty until it is. See `kubectl describe pod chat-1`."}},
		"a pod without a machine does not leave": {
			edit:  func(s *scene) { s.Pods[1].DeletionTimestamp = &metav1.Time{Time: s.Now.Add(-time.Minute)} },
			ready: "False PodTerminating", says: []string{"its place is empty until it is. See `kubectl describe pod chat-1`."}},
		"a pod finds no place": {
			edit: func(s *scene) {
				s.Pods[1].Status.Phase = corev1.PodPending
				s.Pods[1].Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/1 nodes are available"}}
			},
			ready: "False PodsPending", reason: "Reconciling PodsPending", says: []string{"chat-1 is Pending: 0/1 nodes are available."}},
		"an image is missing": {
			edit: func(s *scene) { waiting(&s.Pods[1], "ImagePullBackOff", `Back-off pulling image "x"`) }, ready: "False PodFailing",
			says: []string{"chat-1", "container chat: ImagePullBackOff", "kubectl describe pod chat-1"}},
		"a readinessProbe has not passed yet": {
			edit:  func(s *scene) { unready(&s.Pods[1], s.Now.Add(-time.Minute)) },
			ready: "False PodsPending", reason: "Reconciling PodsPending", says: []string{"Pod chat-1 is running, and its containers are not Ready yet: containers with unready status: [chat]"}},
		"a readinessProbe fails": {
			edit:  func(s *scene) { unready(&s.Pods[1], s.Now.Add(-3*time.Minute)) },
			ready: "False PodFailing", says: []string{"Pod chat-1 is running, but its containers are not Ready since 2026-01-02T11:57:00Z"}},
		"a kubelet has not reported": {
			edit:  func(s *scene) { s.Pods[1].Status.Conditions = nil },
			ready: "False PodsPending", reason: "Reconciling PodsPending", says: []string{"chat-1"}},
		"a node keeps crashing": {
			edit: func(s *scene) { waiting(&s.Pods[1], "CrashLoopBackOff", "") }, ready: "False PodFailing", says: []string{"container chat: CrashLoopBackOff. See"}},
		"a pod is being made": {
			edit: func(s *scene) { waiting(&s.Pods[1], "ContainerCreating", "") }, ready: "False PodsPending", reason: "Reconciling PodsPending"},
		"all pods were replaced since the verdicts": {
			edit: func(s *scene) {
				for i := range s.Pods {
					s.Pods[i].UID = "replaced"
				}
				s.Now = s.Now.Add(110 * time.Second)
			},
			ready: "False Progressing", reason: "Reconciling Progressing", says: []string{"has not verified pod chat-0 yet"}},
		"the verdict before the call is of another pod": {
			edit: func(s *scene) {
				failed(s, 1, v1alpha1.StageCall, v1alpha1.ReasonCallFailed, "It did not answer.")
				s.Pods[1].UID = "replaced"
			},
			ready: "False Progressing", reason: "Reconciling Progressing", says: []string{"has not verified pod chat-1 yet"}},
		"the probe was heard of before the limit": {
			edit:  func(s *scene) { s.HeartbeatObserved = s.Now.Add(-state.HeartbeatTimeout) },
			ready: "True MeshVerified"},
		"the probe is silent": {
			edit:  func(s *scene) { s.silence() },
			ready: "False ProbeNotReporting", says: []string{"has not reported for more than 27s", "describe deployment chat-probe"}},
		"the probe is silent, because another renews its Lease": {
			edit:  func(s *scene) { s.silence(); s.ForeignHolder = "evil\n" },
			ready: "False ProbeNotReporting", says: []string{`The Lease chat-probe is held by "evil", which is no pod of the probe. End what renews it, or delete the Lease.`}},
		"the probe has never reported, because another has the name of its Lease": {
			edit:  func(s *scene) { s.Cluster.Status.Mesh = nil; s.silence(); s.LeaseTaken = true },
			ready: "False ProbeNotReporting", says: []string{"`kubectl delete --namespace=shop lease chat-probe`"}},
		"another has renewed the Lease, and the probe reports": {
			edit:  func(s *scene) { s.ForeignHolder = "evil" },
			ready: "True MeshVerified"},
		"the probe is silent, on a machine that is Ready": {
			edit: func(s *scene) {
				s.silence()
				s.ProbePods = []corev1.Pod{probePod("chat-probe-b", "east"), probePod("chat-probe-a", "west")}
			},
			ready: "False ProbeNotReporting", says: []string{"Its pod chat-probe-a is on machine west. See"}},
		"the probe is silent, on a machine that is lost": {
			edit: func(s *scene) {
				s.silence()
				s.ProbePods = []corev1.Pod{probePod("chat-probe-b", "east"), probePod("chat-probe-a", "west")}
				s.LostMachines = lost("west")
			},
			ready: "False ProbeNotReporting", says: []string{"Its pod chat-probe-a is on machine west, which is not Ready since 2026-", ": Kubelet stopped posting node status. See"}},
		"the machine of a member is lost, whatever the probe says": {
			edit: func(s *scene) {
				s.Pods[1].Spec.NodeName, s.LostMachines = "west", lost("west")
			},
			ready: "False MachineNotReady", says: []string{"Pod chat-1 is on machine west, which is not Ready since 2026-", ": Kubelet stopped posting node status. https://"}},
		"the machines of two members are lost, which are being deleted": {
			edit: func(s *scene) {
				s.LostMachines = lost("west", "east")
				for i, machine := range []string{"east", "west", "south"} {
					s.Pods[i].Spec.NodeName, s.Pods[i].DeletionTimestamp = machine, ptr.To(metav1.NewTime(s.Now))
				}
			},
			ready: "False MachineNotReady", says: []string{"Pod chat-0 is on machine east,", "Also: chat-1 (west)."}},
		"the machine of many members is lost": {
			edit: func(s *scene) {
				*s = *whole(8)
				s.LostMachines = lost("west")
				for i := range s.Pods {
					s.Pods[i].Spec.NodeName = "west"
				}
			},
			ready: "False MachineNotReady", says: []string{"Pod chat-0 is on machine west,", "Also: chat-1 (west), chat-2 (west), chat-3 (west), chat-4 (west), chat-5 (west), and more."}},
		"pods run an older template": {
			edit: func(s *scene) {
				s.plan.Rollout = rollout.Step{Updated: 1, Next: "chat-1", WaitingFor: "pod chat-2 to be Ready"}
			},
			ready: "True MeshVerified", reason: "Reconciling RollingOut", says: []string{"1 of 3 pods run the latest template. Pod chat-1 is next, waiting for pod chat-2 to be Ready."}},
		"a finalizer keeps a pod too many": {
			edit: func(s *scene) {
				held := whole(4).Pods[3]
				held.DeletionTimestamp, held.Finalizers = &metav1.Time{Time: s.Now}, []string{"example.com/backup"}
				held.DeletionGracePeriodSeconds = ptr.To[int64](0)
				s.Pods = append(s.Pods, held)
			},
			ready: "True MeshVerified", reason: "Reconciling ScalingDown", says: []string{"Pod chat-3 is terminating, and its finalizers keep it: example.com/backup."}},
		"pods too many": {
			edit: func(s *scene) { s.Pods = append(s.Pods, whole(4).Pods[3]) }, ready: "True MeshVerified", reason: "Reconciling ScalingDown", says: []string{"1 pods more than the spec asks for"}},
		"the plan holds something back": {
			edit:  func(s *scene) { s.plan.Holds = []plan.Hold{{Reason: "CertificatesPending", Message: "waiting for it"}} },
			ready: "True MeshVerified", reason: "Reconciling CertificatesPending", says: []string{"waiting for it."}},
		"somebody has to fix something": {
			edit: func(s *scene) {
				s.plan.Problems = []plan.Problem{{Reason: "IssuerNotFound", Message: "one thing"}, {Reason: "Rejected", Message: "another"}}
				s.plan.Holds = []plan.Hold{{Reason: "CertificatesPending", Message: "waiting for it"}}
			},
			ready: "False IssuerNotFound", reason: "Stalled IssuerNotFound", says: []string{"one thing. another."}},
		"an issuer is away, and nothing is missing": {
			edit: func(s *scene) {
				s.plan.Problems = []plan.Problem{{Reason: "IssuerNotReady", Message: "sealed"}}
			},
			ready: "True MeshVerified"},
		"an issuer is away, and a certificate is missing": {
			edit: func(s *scene) {
				s.plan.Problems = []plan.Problem{{Reason: "IssuerNotReady", Message: "sealed"}}
				delete(s.Secrets, "chat-1-tls")
			},
			ready: "False IssuerNotReady", reason: "Stalled IssuerNotReady"},
		"an issuer is away during a rotation": {
			edit: func(s *scene) {
				s.plan.Problems = []plan.Problem{{Reason: "IssuerNotReady", Message: "sealed"}}
				s.plan.Holds = []plan.Hold{{Reason: v1alpha1.ReasonRotatingCA, Message: "waiting"}}
			},
			ready: "False IssuerNotReady", reason: "Stalled IssuerNotReady"},
		"the API server refuses": {
			edit:  func(s *scene) { s.outcome = status.Outcome{Err: errors.New("spec.x: Invalid value"), Rejected: true} },
			ready: "False Rejected", reason: "Stalled Rejected", says: []string{"spec.x: Invalid value"}},
		"a name is taken": {
			edit: func(s *scene) {
				s.outcome = status.Outcome{Err: errors.New("there"), Rejected: true, Conflicts: []string{"service/chat-nodes", "issuer.cert-manager.io/chat-ca"}}
			},
			ready: "False NameConflict", reason: "Stalled NameConflict",
			says: []string{"delete them with `kubectl delete --namespace=shop service/chat-nodes issuer.cert-manager.io/chat-ca`"}},
		"the StatefulSet was changed in this pass": {
			edit:  func(s *scene) { s.outcome = status.Outcome{Ahead: true} },
			ready: "True MeshVerified", reason: "Reconciling Progressing", says: []string{"The StatefulSet was changed"}},
		"the API server is away": {
			edit:  func(s *scene) { s.outcome = status.Outcome{Err: errors.New("connection refused")} },
			ready: "True MeshVerified", reason: "Reconciling Progressing", says: []string{"connection refused"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			replicas := test.replicas
			switch replicas {
			case 0:
				replicas = 3
			case -1:
				replicas = 0
			}
			s := whole(replicas)
			test.edit(s)
			conditions := s.describe(t).Status.Conditions
			ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
			if got := fmt.Sprintf("%s %s", ready.Status, ready.Reason); got != test.ready {
				t.Errorf("Ready is %s (%s), want %s", got, ready.Message, test.ready)
			}
			got, message := "", ""
			for _, condition := range []string{v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled} {
				if c := meta.FindStatusCondition(conditions, condition); c != nil {
					got, message = c.Type+" "+c.Reason, c.Message
				}
			}
			if got != test.reason {
				t.Errorf("%q (%s), want %q", got, message, test.reason)
			}
			for _, says := range test.says {
				if !strings.Contains(ready.Message+message, says) {
					t.Errorf("neither Ready (%s) nor %s (%s) says %q", ready.Message, got, message, says)
				}
			}
		})
	}
}

// awaited is a Certificate that cert-manager is about to issue, or could not.
func awaited(s *scene, name string, status certmanagermeta.ConditionStatus, reason, message string, ago time.Duration) {
	s.Certificates[name] = &certmanager.Certificate{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: certmanager.CertificateStatus{Conditions: []certmanager.CertificateCondition{{
		Type: certmanager.CertificateConditionIssuing, Status: status, Reason: reason, Message: message,
		LastTransitionTime: ptr.To(metav1.NewTime(s.Now.Add(-ago)))}}}}
}

// refused: an issuer of the cluster's own failed so many times, the last time half a minute ago.
func refused(s *scene, name string, failures int) {
	delete(s.Secrets, name)
	awaited(s, name, certmanagermeta.ConditionFalse, "Failed", "not allowed here", 30*time.Second)
	s.Certificates[name].Spec.IssuerRef.Name = "chat-ca"
	s.Certificates[name].Status.LastFailureTime = ptr.To(metav1.NewTime(s.Now.Add(-30 * time.Second)))
	s.Certificates[name].Status.FailedIssuanceAttempts = &failures
	issuer := &certmanager.Issuer{TypeMeta: metav1.TypeMeta{Kind: certmanager.IssuerKind}, ObjectMeta: metav1.ObjectMeta{Name: "chat-ca"}}
	s.Owned = append(s.Owned, issuer)
}

// retried: the operator has begun another issuance, after a failure so long ago.
func retried(s *scene, name string, ago time.Duration) {
	certificate := s.Certificates[name]
	certificate.Status.LastFailureTime = ptr.To(metav1.NewTime(s.Now.Add(-ago)))
	planned := plan.Make(s.State, plan.Operator{}, "")
	for _, retry := range planned.Retry {
		if *retry.GetName() == name {
			issuing := retry.Status.Conditions[0]
			certificate.Status.Conditions[0] = certmanager.CertificateCondition{Type: *issuing.Type, Status: *issuing.Status, Reason: *issuing.Reason, LastTransitionTime: issuing.LastTransitionTime}
		}
	}
}

// A pod whose node has joined is Ready some moments later: until then a rollout would find
// it unavailable, and Kubernetes replaces pods that are unavailable all at once.
func TestReadyWaitsForTheKubelet(t *testing.T) {
	s := whole(3)
	for i := range s.Pods {
		s.podIs(i, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse})
	}
	report := s.describe(t)
	if len(report.Joined) != 3 || meta.IsStatusConditionTrue(report.Status.Conditions, v1alpha1.ConditionReady) {
		t.Errorf("%d gates are opened, and Ready is %+v", len(report.Joined), meta.FindStatusCondition(report.Status.Conditions, v1alpha1.ConditionReady))
	}
	s.node(1).Reason = v1alpha1.ReasonCookieMismatch
	if ready := meta.FindStatusCondition(s.describe(t).Status.Conditions, v1alpha1.ConditionReady); ready.Status != metav1.ConditionFalse {
		t.Errorf("Ready is %+v", ready)
	}
}

// Nodes that keep names under another domain than the manager's are Ready, with a warning.
func TestClusterDomainMismatchWarns(t *testing.T) {
	s := whole(3)
	s.ConfiguredDomain = "k8s.example"
	report := s.describe(t)
	mismatch := meta.FindStatusCondition(report.Status.Conditions, v1alpha1.ConditionClusterDomainMismatch)
	if mismatch == nil || !strings.Contains(mismatch.Message, "--cluster-domain=cluster.local") {
		t.Errorf("%+v", mismatch)
	}
	if !meta.IsStatusConditionTrue(report.Status.Conditions, v1alpha1.ConditionReady) {
		t.Error("not Ready")
	}
}

func TestSharedIssuerWarns(t *testing.T) {
	s := whole(3)
	s.Cluster.Spec.TLS.IssuerRef = &v1alpha1.IssuerReference{Name: "corp", Kind: "ClusterIssuer", Group: "cert-manager.io"}
	report := s.describe(t)
	if !meta.IsStatusConditionTrue(report.Status.Conditions, v1alpha1.ConditionSharedIssuer) {
		t.Error("no warning of the shared issuer")
	}
	if !meta.IsStatusConditionTrue(report.Status.Conditions, v1alpha1.ConditionReady) {
		t.Error("a warning keeps the cluster from being ready")
	}
}

func TestWrongRuntimeWarns(t *testing.T) {
	s := whole(3)
	s.node(1).Reason, s.node(1).Message = v1alpha1.ReasonRuntimeMismatch, "it is an Elixir release; set spec.runtime to Mix"
	report := s.describe(t)
	warning := meta.FindStatusCondition(report.Status.Conditions, v1alpha1.ConditionRuntimeMismatch)
	if warning == nil || warning.Status != metav1.ConditionTrue || !strings.HasPrefix(warning.Message, "Pod chat-1: it is an Elixir release") {
		t.Errorf("%+v", warning)
	}
	if !meta.IsStatusConditionTrue(report.Status.Conditions, v1alpha1.ConditionReady) {
		t.Error("a warning keeps the cluster from being ready")
	}
}

func TestNumbers(t *testing.T) {
	s := whole(3)
	s.node(1).Reason = v1alpha1.ReasonCookieMismatch
	s.Cluster.Status.Mesh.Links = 1
	status := s.describe(t).Status
	want := v1alpha1.ErlangClusterStatus{
		ObservedGeneration: 1, Replicas: 3, Nodes: "2/3", Links: "1/3", CertificatesExpire: "28d",
		ExpectedNodes: 3, VerifiedNodes: 2, ExpectedLinks: 3, EstablishedLinks: 1,
		CertificatesExpireAt: status.CertificatesExpireAt,
		Selector:             "erlang-operator.dev/cluster=chat,erlang-operator.dev/component=node",
	}
	status.Conditions, status.StoredCertificates, status.Authorities = nil, nil, nil
	if diff := cmp.Diff(want, status); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

// The CAs that the nodes trust are reported, one that was renewed with its key once.
func TestAuthorities(t *testing.T) {
	s := whole(1)
	blue, green := certstest.NewAuthority("blue").Certificate, certstest.NewAuthority("green").Certificate
	renewed := certstest.NewAuthority("blue", func(c *x509.Certificate) { c.NotAfter = c.NotAfter.AddDate(1, 0, 0) }).Certificate
	s.Distribution.Data[naming.TrustKey] = certs.Trust{}.With(blue, green, renewed).PEM()
	want := []v1alpha1.AuthorityStatus{
		{Identity: certs.Identity(green), Subject: "CN=green", NotAfter: metav1.NewTime(green.NotAfter)},
		{Identity: certs.Identity(blue), Subject: "CN=blue", NotAfter: metav1.NewTime(renewed.NotAfter)},
	}
	slices.SortFunc(want, func(a, b v1alpha1.AuthorityStatus) int { return strings.Compare(a.Identity, b.Identity) })
	if diff := cmp.Diff(want, s.describe(t).Status.Authorities); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	many := certs.Trust{}
	for i := range 20 {
		many = many.With(certstest.NewAuthority(strings.Repeat("x", 300) + fmt.Sprint(i)).Certificate)
	}
	s.Distribution.Data[naming.TrustKey] = many.PEM()
	all := s.describe(t).Status.Authorities
	if len(all) != v1alpha1.MaxAuthorities || len(all[0].Subject) > 256 {
		t.Errorf("%d authorities, the first with %d bytes: the API server would refuse the status", len(all), len(all[0].Subject))
	}
}

// rotates has a plan with a rotation of the CA in some phase, or none.
func (s *scene) rotates(phase v1alpha1.RotationPhase) {
	s.plan.Holds, s.plan.Rotations = nil, nil
	if phase != v1alpha1.RotationSettled {
		step := rotation.Step{Credential: v1alpha1.RotatingCA, Phase: phase, WaitingFor: "chat-1 to accept the new CA"}
		s.plan.Rotations = []rotation.Step{step}
		s.plan.Holds = []plan.Hold{{Reason: step.Reason(), Message: step.String()}}
	}
}

// A phase is reported since it was first observed, with as much of what it waits for as
// the API server takes.
func TestRotationStatus(t *testing.T) {
	s := whole(1)
	expect := func(phase v1alpha1.RotationPhase, since time.Time) {
		t.Helper()
		s.rotates(phase)
		s.plan.Rotations = append(s.plan.Rotations, rotation.Step{
			Credential: v1alpha1.RotatingCookie, Phase: v1alpha1.RotationAwaitingNodes, WaitingFor: strings.Repeat("x", 2000)})
		report := s.describe(t)
		ca, cookie := report.Status.Rotation[0], report.Status.Rotation[1]
		want := v1alpha1.RotationStatus{Credential: v1alpha1.RotatingCA, Phase: phase,
			WaitingFor: "chat-1 to accept the new CA", Since: metav1.NewTime(since)}
		if diff := cmp.Diff(want, ca); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if len(cookie.WaitingFor) > 1024 {
			t.Errorf("waitingFor has %d bytes: the API server would refuse the status", len(cookie.WaitingFor))
		}
		s.Cluster.Status = statusOf(s, report.Status)
	}
	begun := s.Now
	expect(v1alpha1.RotationWideningTrust, begun)
	s.Now = begun.Add(time.Minute)
	expect(v1alpha1.RotationWideningTrust, begun)
	expect(v1alpha1.RotationReissuing, s.Now)
}

// A rotation that begins is an event, with its cause if nobody requested it, and so is its
// end; what comes between is for the condition and the status.
func TestRotationEvents(t *testing.T) {
	s := whole(1)
	s.trusts(24*365*10*time.Hour, 24*365*3*time.Hour)
	expect := func(phase v1alpha1.RotationPhase, want ...string) {
		t.Helper()
		s.rotates(phase)
		report := s.describe(t)
		s.Cluster.Status = statusOf(s, report.Status)
		var got []string
		for _, event := range report.Events {
			if event.Reason == v1alpha1.ReasonRotatingCA {
				got = append(got, event.Type+" "+event.Message)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	const begins = "CA rotation, WideningTrust: waiting for chat-1 to accept the new CA."
	expect(v1alpha1.RotationSettled)
	expect(v1alpha1.RotationWideningTrust, "Normal The private CA chat-ca is near the end of its life, and chat-ca-r2 replaces it. "+begins)
	expect(v1alpha1.RotationReissuing)
	expect(v1alpha1.RotationSettled, "Normal The rotation of the CA is complete: chat-ca signs the certificates.")
	s.trusts(24*365*10*time.Hour, 24*365*9*time.Hour)
	expect(v1alpha1.RotationWideningTrust, "Normal "+begins)
}

func (s *scene) suspend() { s.Cluster.Spec.Suspend = true }

// A suspended cluster says so, and what is half done: rotations neither begin nor end.
func TestSuspended(t *testing.T) {
	s := whole(3)
	suspended := func(s *scene) (message string, events []string) {
		t.Helper()
		report := s.describe(t)
		condition := meta.FindStatusCondition(report.Status.Conditions, v1alpha1.ConditionSuspended)
		if condition != nil {
			message = condition.Message
		}
		for _, event := range report.Events {
			events = append(events, event.Type+" "+event.Reason)
		}
		s.Cluster.Status = statusOf(s, report.Status)
		return message, events
	}
	if message, _ := suspended(s); message != "" {
		t.Errorf("it is suspended: %s", message)
	}
	s.suspend()
	s.rotates(v1alpha1.RotationWideningTrust)
	message, events := suspended(s)
	if diff := cmp.Diff([]string{"Normal Suspended"}, events); diff != "" || !strings.Contains(message, "Remove suspend to continue") || strings.Contains(message, "half done") {
		t.Errorf("events (-want +got):\n%s%s", diff, message)
	}
	s.Cluster.Status.Rotation = []v1alpha1.RotationStatus{{Credential: v1alpha1.RotatingCookie, Phase: v1alpha1.RotationChangingCookie}}
	if message, events = suspended(s); len(events) > 0 || !strings.Contains(message, "The rotation of the cookie is half done") || len(s.Cluster.Status.Rotation) != 1 {
		t.Errorf("events %v, rotations %v: %s", events, s.Cluster.Status.Rotation, message)
	}
	if joined := s.describe(t).Joined; len(joined) != 3 {
		t.Errorf("%d pods become Ready, want 3", len(joined))
	}
}

// The command that removes all objects in the way is never cut; no event can hold it.
func TestAllThatIsInTheWayIsReported(t *testing.T) {
	s := whole(3)
	s.outcome = status.Outcome{Rejected: true, Conflicts: slices.Repeat([]string{"certificate.cert-manager.io/chat-99-tls"}, 300)}
	report := s.describe(t)
	stalled := meta.FindStatusCondition(report.Status.Conditions, v1alpha1.ConditionStalled)
	if !strings.Contains(stalled.Message, "chat-99-tls`. Otherwise") || !strings.HasSuffix(stalled.Message, "#nameconflict") {
		t.Errorf("a message of %d bytes ends with %s", len(stalled.Message), stalled.Message[len(stalled.Message)-99:])
	}
	for _, event := range report.Events {
		if len(event.Message) > 1024 {
			t.Errorf("an event of %d bytes", len(event.Message))
		}
	}
}

// A stored certificate is reported with the time at which it was first observed.
func TestMembers(t *testing.T) {
	s := whole(2)
	delete(s.Secrets, "chat-1-tls")
	first := s.describe(t)
	leaf, _ := s.StoredCertificate("chat-0")
	want := []v1alpha1.StoredCertificate{{
		Pod: "chat-0", CertificateSerial: certs.Serial(leaf.X509),
		CertificateNotAfter: metav1.NewTime(certstest.End), StoredSince: metav1.NewTime(statetest.Now),
	}}
	if diff := cmp.Diff(want, first.Status.StoredCertificates); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}

	s.Cluster.Status = first.Status
	s.Now = s.Now.Add(time.Hour)
	second := s.describe(t)
	if diff := cmp.Diff(want, second.Status.StoredCertificates); diff != "" {
		t.Errorf("members an hour later (-want +got):\n%s", diff)
	}

	renewed := certstest.NewAuthority("another").Issue(s.Names.Host("chat-0"))
	s.Secrets["chat-0-tls"].Data[corev1.TLSCertKey] = certstest.PEM(renewed)
	s.Cluster.Status = second.Status
	s.Now = s.Now.Add(time.Hour)
	want[0].CertificateSerial, want[0].StoredSince = certs.Serial(renewed), metav1.NewTime(s.Now)
	if diff := cmp.Diff(want, s.describe(t).Status.StoredCertificates); diff != "" {
		t.Errorf("members after the certificate was renewed (-want +got):\n%s", diff)
	}
}

// No watch reports that a node should serve the stored certificate by now.
func TestLooksAgainWhenANodeShouldServe(t *testing.T) {
	s := whole(2)
	s.remember(4 * time.Minute)
	before := s.describe(t).RequeueAfter
	s.node(1).CertificateSerial = "17"
	if again := s.describe(t).RequeueAfter; again != time.Minute+time.Second || again >= before {
		t.Errorf("looks again in %s, and in %s without that", again, before)
	}
}

func TestNumbersOfAMeshThatWasLarger(t *testing.T) {
	s := whole(5)
	s.Cluster.Spec.Replicas = ptr.To[int32](2)
	if status := s.describe(t).Status; status.Nodes != "2/2" || status.Links != "1/1" {
		t.Errorf("nodes %s, links %s, want 2/2 and 1/1", status.Nodes, status.Links)
	}
}

func TestExpiryIsOfTheFirstThatExpires(t *testing.T) {
	s := whole(3)
	s.node(1).CertificateNotAfter = ptr.To(metav1.NewTime(statetest.Now.Add(5 * time.Hour)))
	if got := s.describe(t).Status.CertificatesExpire; got != "5h" {
		t.Errorf("certificates expire in %q, want 5h", got)
	}
	s.node(1).CertificateNotAfter = nil // not seen served: what is stored counts
	if got := s.describe(t).Status.CertificatesExpire; got != "28d" {
		t.Errorf("certificates expire in %q, want 28d", got)
	}
}

// The time of a condition is when its status changed, not its message.
func TestTransitionTimes(t *testing.T) {
	s := whole(3)
	first := s.describe(t).Status
	later := func(minutes int) {
		s.Now = statetest.Now.Add(time.Duration(minutes) * time.Minute)
	}
	adopt := func(status v1alpha1.ErlangClusterStatus) {
		status.Mesh = s.Cluster.Status.Mesh
		s.Cluster.Status = status
	}
	since := func(status v1alpha1.ErlangClusterStatus, condition string) time.Time {
		return meta.FindStatusCondition(status.Conditions, condition).LastTransitionTime.Time
	}

	adopt(first)
	later(1)
	if report := s.describe(t); report.Changed || len(report.Events) > 0 {
		t.Errorf("nothing has changed, but the report has: %s", cmp.Diff(first, report.Status))
	}

	s.node(1).Reason, s.node(1).Message = v1alpha1.ReasonCookieMismatch, "It differs."
	later(2)
	second := s.describe(t).Status
	if got := since(second, v1alpha1.ConditionReady); !got.Equal(s.Now) {
		t.Errorf("Ready changed at %s, want now, %s", got, s.Now)
	}
	if got := since(second, v1alpha1.ConditionNodesReady); !got.Equal(statetest.Now) {
		t.Errorf("NodesReady changed at %s, and did not", got)
	}

	adopt(second)
	s.node(1).Reason = v1alpha1.ReasonConnectionRefused
	later(3)
	report := s.describe(t)
	if !report.Changed {
		t.Error("another reason is no change")
	}
	if got := since(report.Status, v1alpha1.ConditionReady); !got.Equal(statetest.Now.Add(2 * time.Minute)) {
		t.Errorf("Ready is False since %s; only the reason changed", got)
	}
}

// Conditions come back from the API server in an order of its own.
func TestOrderOfConditionsIsNoChange(t *testing.T) {
	s := whole(3)
	status := s.describe(t).Status
	for i, j := 0, len(status.Conditions)-1; i < j; i, j = i+1, j-1 {
		status.Conditions[i], status.Conditions[j] = status.Conditions[j], status.Conditions[i]
	}
	status.Mesh = s.Cluster.Status.Mesh
	s.Cluster.Status = status
	if s.describe(t).Changed {
		t.Error("the order of conditions counts as a change")
	}
}

// The text of an error has the time of the attempt in it, or the port that it was made from.
// A status that differs by these is written, and so causes the next attempt at once.
func TestSameFailureIsNoChange(t *testing.T) {
	for first, second := range map[string]string{
		`Post "https://webhook": x509: certificate has expired or is not yet valid: current time 2026-11-21T19:05:38Z is after 2026-11-20T00:00:00Z`: `Post "https://webhook": x509: certificate has expired or is not yet valid: current time 2026-11-21T19:05:39Z is after 2026-11-20T00:00:00Z`,
		`read tcp 10.1.2.3:45678->10.96.0.1:443: connection reset by peer`:                                                                           `read tcp 10.1.2.3:45680->10.96.0.1:443: connection reset by peer`,
		`read tcp [fd00::1]:45678->[fd00::2]:443: connection reset by peer`:                                                                          `read tcp [fd00::1]:45680->[fd00::2]:443: connection reset by peer`,
	} {
		for _, rejected := range []bool{false, true} {
			s := whole(3)
			s.outcome = status.Outcome{Err: errors.New(first), Rejected: rejected}
			s.Cluster.Status = statusOf(s, s.describe(t).Status)
			s.outcome.Err = errors.New(second)
			if report := s.describe(t); report.Changed {
				t.Errorf("it counts as a change:\n%s\n%s", first, second)
			}
		}
	}
}

// The API server takes no event with a longer text, and the client drops what it refuses.
func TestEventsAreBounded(t *testing.T) {
	s := whole(1)
	s.plan.Rotations = []rotation.Step{{Credential: v1alpha1.RotatingCA, Phase: v1alpha1.RotationReissuing, WaitingFor: strings.Repeat("wörd ", 400)}}
	for _, event := range s.describe(t).Events {
		if len(event.Message) > 1024 {
			t.Errorf("event %s has %d bytes", event.Reason, len(event.Message))
		}
	}
}

func TestEvents(t *testing.T) {
	s := whole(3)
	expect := func(want ...string) {
		t.Helper()
		report := s.describe(t)
		var got []string
		for _, event := range report.Events {
			got = append(got, event.Type+" "+event.Reason)
			if event.Message == "" {
				t.Errorf("event %s says nothing", event.Reason)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		mesh := s.Cluster.Status.Mesh
		s.Cluster.Status = report.Status
		s.Cluster.Status.Mesh = mesh
	}
	pods := s.Pods
	s.Pods = nil
	expect("Normal PodsPending")
	expect()
	s.Pods = pods
	expect("Normal MeshVerified")
	s.node(1).Reason = v1alpha1.ReasonCookieMismatch
	expect("Warning CookieMismatch")
	s.node(1).Message = "Said in other words."
	expect()
	s.node(1).Reason = v1alpha1.ReasonVerified
	expect("Normal MeshVerified")
	s.plan.Holds = []plan.Hold{{Reason: v1alpha1.ReasonCertificatesPending, Message: "waiting"}}
	secret := s.Secrets["chat-2-tls"]
	delete(s.Secrets, "chat-2-tls")
	awaited(s, "chat-2-tls", certmanagermeta.ConditionTrue, "DoesNotExist", "", time.Minute)
	expect("Normal CertificatesPending")
	awaited(s, "chat-2-tls", certmanagermeta.ConditionFalse, "Failed", "no", time.Minute)
	expect("Warning CertificateRefused")
	s.Secrets["chat-2-tls"] = secret
	expect("Normal MeshVerified")
	s.plan.Problems = []plan.Problem{{Reason: v1alpha1.ReasonIssuerNotFound, Message: "none"}}
	s.Cluster.Spec.TLS.IssuerRef = &v1alpha1.IssuerReference{Name: "corp", Kind: "Issuer", Group: "cert-manager.io"}
	expect("Warning IssuerNotFound", "Warning IssuerRefSet")
}

func TestJoined(t *testing.T) {
	tests := map[string]struct {
		edit func(*scene)
		want []string
	}{
		"all of them":          {func(*scene) {}, []string{"chat-0", "chat-1", "chat-2"}},
		"not who is not there": {func(s *scene) { s.Pods = s.Pods[:2] }, []string{"chat-0", "chat-1"}},
		"not who fails":        {func(s *scene) { s.node(1).Reason = v1alpha1.ReasonCookieMismatch }, []string{"chat-0", "chat-2"}},
		"not who is unlinked":  {func(s *scene) { s.node(1).MissingLinks = []string{"chat-0"} }, []string{"chat-0", "chat-2"}},
		"though a peer fails": {func(s *scene) {
			s.node(0).Reason = v1alpha1.ReasonConnectionRefused
			s.node(1).MissingLinks = []string{"chat-0"}
		}, []string{"chat-1", "chat-2"}},
		"not who has joined already": {func(s *scene) {
			s.Pods[1].Status.Conditions = append(s.Pods[1].Status.Conditions, corev1.PodCondition{Type: v1alpha1.ReadinessGate, Status: corev1.ConditionTrue})
		}, []string{"chat-0", "chat-2"}},
		"not who is another than that of the verdict": {func(s *scene) { s.Pods[1].UID = "replaced" }, []string{"chat-0", "chat-2"}},
		"not who may be": {func(s *scene) { s.node(1).PodUID = "" }, []string{"chat-0", "chat-2"}},
		"by whichever clock": {func(s *scene) {
			s.node(1).StartedAt = ptr.To(metav1.NewTime(s.Pods[1].CreationTimestamp.Add(-time.Hour)))
		}, []string{"chat-0", "chat-1", "chat-2"}},
		"nobody without a verdict": {func(s *scene) { s.Cluster.Status.Mesh = nil }, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := whole(3)
			test.edit(s)
			var got []string
			for _, pod := range s.describe(t).Joined {
				got = append(got, pod.Name)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("joined (-want +got):\n%s", diff)
			}
		})
	}
}

// A status must stay readable, and below what etcd takes, when all of it is bad.
func TestAHundredFailuresStayBounded(t *testing.T) {
	s := whole(100)
	for i := range s.Cluster.Status.Mesh.Nodes {
		node := s.node(i)
		node.Stage, node.Reason, node.Message = v1alpha1.StageTLS, v1alpha1.ReasonClientCertificateRejected, strings.Repeat("ü", 512)
	}
	s.describe(t) // checks the length of each message

	partitioned := whole(100)
	partitioned.Cluster.Status.Mesh.Components = 100
	for i := range partitioned.Cluster.Status.Mesh.Nodes {
		partitioned.node(i).MissingLinks = []string{"chat-1", "chat-2", "chat-3", "chat-4", "chat-5", "chat-6", "chat-7", "chat-8"}
	}
	partitioned.describe(t)

	refused := whole(3)
	refused.outcome = status.Outcome{Err: errors.New(strings.Repeat("x", 100_000)), Rejected: true}
	refused.describe(t)
	for range 100 {
		refused.plan.Problems = append(refused.plan.Problems, plan.Problem{Reason: v1alpha1.ReasonRejected, Message: strings.Repeat("y", 100)})
	}
	refused.describe(t)
	failing := whole(3)
	failing.outcome = status.Outcome{Err: errors.New(strings.Repeat("x", 100_000))}
	failing.describe(t)
	held := whole(3)
	held.plan.Holds = []plan.Hold{{Reason: v1alpha1.ReasonProgressing, Message: strings.Repeat("z", 1000)}}
	held.describe(t)
}

func TestAgain(t *testing.T) {
	tests := map[string]struct {
		edit func(*scene)
		want time.Duration
	}{
		"never for what has no end": {func(s *scene) { s.Cluster.Status.Mesh, s.Secrets, s.Certificates, s.Distribution = nil, nil, nil, nil }, 0},
		"when a kind may be there": {func(s *scene) {
			s.plan.Problems = []plan.Problem{{Reason: v1alpha1.ReasonIssuerKindUnknown, Message: "none"}}
		}, time.Minute},
		"when a certificate is overdue": {func(s *scene) {
			delete(s.Secrets, "chat-1-tls")
			awaited(s, "chat-1-tls", certmanagermeta.ConditionTrue, "DoesNotExist", "", 4*time.Minute)
		}, time.Minute + time.Second},
		"when the CA is due for replacement": {func(s *scene) {
			s.trusts(24*365*10*time.Hour, 24*365*10*time.Hour/3+30*time.Second)
		}, 31 * time.Second},
		"when cert-manager should have stored a certificate": {func(s *scene) {
			delete(s.Secrets, "chat-1-tls")
			awaited(s, "chat-1-tls", certmanagermeta.ConditionTrue, "DoesNotExist", "", 4*time.Second)
		}, 7 * time.Second},
		"when the events of a pod are to be read": {func(s *scene) {
			s.container(1, running(4*time.Second, false, 0, nil))
			s.podIs(1, corev1.PodCondition{Type: corev1.ContainersReady, Status: corev1.ConditionFalse, LastTransitionTime: ago(4 * time.Second)})
		}, 7 * time.Second},
		"when the kubelet may have recorded more": {func(s *scene) { s.container(1, running(time.Hour, false, 0, nil)) }, 15 * time.Second},
		"when a probe should have passed":         {func(s *scene) { s.container(1, running(115*time.Second, false, 0, nil)) }, 6 * time.Second},
		"when a container no longer keeps restarting": {func(s *scene) {
			s.container(1, running(115*time.Second, true, 2, end(1, 116*time.Second, time.Second, "")))
		}, 6 * time.Second},
		"when a quota may have been raised": {func(s *scene) { s.SecretQuota = "shop" }, time.Minute},
		"when a certificate is valid, of an issuer whose clock is ahead": {func(s *scene) {
			s.Cluster.Status.Mesh = nil // The probe does not start without a valid certificate.
			leaf := certstest.NewAuthority("blue").Issue(s.Names.ProbeHost(), func(c *x509.Certificate) {
				c.NotBefore, c.NotAfter = s.Now.Add(7*time.Minute), s.Now.Add(1000*time.Hour+50*time.Second)
			})
			s.Secrets["chat-probe-tls"].Data[corev1.TLSCertKey] = certstest.PEM(leaf)
		}, 7*time.Minute + time.Second},
		"when DNS should know a pod": {func(s *scene) {
			s.Pods[1].CreationTimestamp = ago(25 * time.Second)
			s.node(1).Stage, s.node(1).Reason = v1alpha1.StageResolve, v1alpha1.ReasonNameResolutionFailed
		}, 6 * time.Second},
		"while a pod is missing": {func(s *scene) { s.without("chat-1", "") }, 15 * time.Second},
		"when the time left reads otherwise": {func(s *scene) {
			s.node(1).CertificateNotAfter = ptr.To(metav1.NewTime(statetest.Now.Add(3*time.Hour + time.Minute)))
		}, time.Minute + time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := whole(3)
			test.edit(s)
			if got := s.describe(t).RequeueAfter; got != test.want {
				t.Errorf("again in %s, want %s", got, test.want)
			}
		})
	}
}

// A spec that cannot be decoded is Stalled, whatever was reported before, and once.
func TestUndecodable(t *testing.T) {
	s := whole(3)
	s.Cluster.Status = statusOf(s, s.describe(t).Status)
	report := status.Undecodable(s.Cluster, s.Now, errors.New("spec.template: too large"))
	checkDiscipline(t, s.Cluster, report.Status)
	stalled := meta.FindStatusCondition(report.Status.Conditions, v1alpha1.ConditionStalled)
	if stalled == nil || stalled.Reason != v1alpha1.ReasonRejected || !strings.Contains(stalled.Message, "spec.template: too large. Fix") {
		t.Errorf("Stalled is %+v", stalled)
	}
	if len(report.Events) != 1 || report.Events[0].Type != corev1.EventTypeWarning {
		t.Errorf("events: %+v", report.Events)
	}
	s.Cluster.Status = statusOf(s, report.Status)
	if again := status.Undecodable(s.Cluster, s.Now, errors.New("spec.template: too large")); again.Changed || len(again.Events) > 0 {
		t.Errorf("reported again: %+v", again.Events)
	}
}

// A cluster that a finalizer keeps is not Ready, and says so once.
func TestTerminating(t *testing.T) {
	s := whole(3)
	s.Cluster.Status = statusOf(s, s.describe(t).Status)
	s.Cluster.Finalizers = []string{"example.com/backup"}
	s.Cluster.Status.Rollout = &v1alpha1.RolloutStatus{}
	report := status.Terminating(s.Cluster, s.Now)
	if report.Status.Rollout != nil {
		t.Errorf("it still rolls out: %+v", report.Status.Rollout)
	}
	checkDiscipline(t, s.Cluster, report.Status)
	ready := meta.FindStatusCondition(report.Status.Conditions, v1alpha1.ConditionReady)
	if ready.Status != metav1.ConditionFalse || ready.Reason != v1alpha1.ReasonTerminating || !strings.Contains(ready.Message, "example.com/backup") {
		t.Errorf("Ready is %+v", ready)
	}
	s.Cluster.Status = statusOf(s, report.Status)
	if again := status.Terminating(s.Cluster, s.Now); again.Changed || len(again.Events) > 0 {
		t.Errorf("reported again: %+v", again.Events)
	}
}

// An issuer that is away is a warning, recorded once, as long as nothing is missing.
func TestIssuerUnavailable(t *testing.T) {
	s := whole(3)
	s.Cluster.Status = statusOf(s, s.describe(t).Status)
	s.plan.Problems = []plan.Problem{{Reason: v1alpha1.ReasonIssuerNotReady, Message: "tls.issuerRef: sealed"}}
	report := s.describe(t)
	warning := meta.FindStatusCondition(report.Status.Conditions, v1alpha1.ConditionIssuerUnavailable)
	if warning == nil || warning.Reason != v1alpha1.ReasonIssuerNotReady || !strings.Contains(warning.Message, "tls.issuerRef: sealed. Every certificate is valid") {
		t.Errorf("the warning is %+v", warning)
	}
	if len(report.Events) != 1 || report.Events[0].Type != corev1.EventTypeWarning {
		t.Errorf("events: %+v", report.Events)
	}
}

// That DNS does not know a pod that is terminating is no fault.
func TestDNSOfATerminatingPod(t *testing.T) {
	for reason, terminating := range map[string]*metav1.Time{v1alpha1.ReasonNameResolutionFailed: nil, v1alpha1.ReasonProgressing: ptr.To(ago(0))} {
		s := whole(3)
		s.Pods[1].DeletionTimestamp = terminating
		s.node(1).Stage, s.node(1).Reason, s.node(1).Message = v1alpha1.StageResolve, v1alpha1.ReasonNameResolutionFailed, "No DNS record."
		mesh := meta.FindStatusCondition(s.describe(t).Status.Conditions, v1alpha1.ConditionMeshConnected)
		if mesh.Reason != reason {
			t.Errorf("terminating: %t, and MeshConnected is %s: %s", terminating != nil, mesh.Reason, mesh.Message)
		}
	}
}
