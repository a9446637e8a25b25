package envtest

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/certstest"
)

// A pod that the API server refuses is named with the field and the remedy, and no longer
// once it exists. The API server's own refusals are recorded as the StatefulSet controller
// records them.
func TestCauseOfAPodThatCannotBeCreated(t *testing.T) {
	startManager(t)
	controller := newStatefulSetController(t)
	for name, test := range map[string]struct {
		spec     string
		forbid   func(*testing.T, string)
		permit   func(*testing.T, string)
		contains []string
	}{
		"PriorityClass": {
			spec: `{template: {spec: {priorityClassName: urgent}}}`,
			permit: func(t *testing.T, _ string) {
				create(t, &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "urgent"}, Value: 1000})
			},
			contains: []string{"no PriorityClass with name urgent was found", "Create PriorityClass urgent, or change template.spec.priorityClassName."},
		},
		"quota": {
			forbid:   func(t *testing.T, namespace string) { limit(t, namespace, corev1.ResourcePods, 0) },
			permit:   func(t *testing.T, namespace string) { limit(t, namespace, corev1.ResourcePods, 10) },
			contains: []string{"exceeded quota: limits, requested: pods=1", "Raise ResourceQuota limits"},
		},
		"Pod Security": {
			spec: `{template: {spec: {hostPID: true}}}`,
			permit: func(t *testing.T, namespace string) {
				space := get(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
				space.Labels["pod-security.kubernetes.io/enforce"] = "privileged"
				check(t, admin.Update(t.Context(), space))
			},
			contains: []string{`violates PodSecurity "restricted:latest"`, "change template.spec.securityContext"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace := newNamespace(t)
			if test.forbid != nil {
				test.forbid(t, namespace)
			}
			create(t, merged(t, object(t, namespace, minimal), "spec: "+cmp.Or(test.spec, "{}")))
			set := awaitStatefulSet(t, namespace, 3)
			controller.refused(t, set, 0)
			awaitCondition(t, namespace, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRejected,
				append(test.contains, "Pod chat-0 cannot be created", "kubectl describe statefulset chat")...)

			test.permit(t, namespace)
			eventually(t, "the pods are permitted", func(ctx context.Context) error {
				return admin.Create(ctx, podOf(set, 0))
			})
			awaitCondition(t, namespace, v1alpha1.ConditionNodesReady, metav1.ConditionFalse, v1alpha1.ReasonPodsPending, "Pod chat-0 is Pending")
		})
	}
}

// A pod of the probe that the API server refuses is named with the remedy, and nothing that
// is no field of the user's.
func TestCauseOfAProbeThatCannotBeCreated(t *testing.T) {
	namespace := newNamespace(t)
	startManager(t)
	create(t, object(t, namespace, minimal))
	probe := &appsv1.Deployment{ObjectMeta: named(namespace, "chat-probe")}
	eventually(t, "the probe", func(ctx context.Context) error {
		_, err := read(ctx, probe)
		return err
	})
	limit(t, namespace, corev1.ResourcePods, 0)
	refusal := awaitRefusal(t, &corev1.Pod{ObjectMeta: named(namespace, "chat-probe-x"), Spec: *probe.Spec.Template.Spec.DeepCopy()})
	updateStatus(t, probe, func() {
		probe.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: refusal}}
	})
	awaitCondition(t, namespace, v1alpha1.ConditionMeshConnected, metav1.ConditionFalse, v1alpha1.ReasonProbeNotReporting,
		"Its pod cannot be created", "exceeded quota: limits", "Raise ResourceQuota limits, or ask for less in spec.probe.resources. See `kubectl describe deployment chat-probe`.")
}

// A pod that the kubelet does not report Ready is named, with what the kubelet recorded last.
func TestCauseOfAPodThatIsNotReady(t *testing.T) {
	startManager(t)
	kubelet := newRecorder(t, "kubelet")
	for name, test := range map[string]struct {
		status   corev1.ContainerStatus
		events   [][2]string // reason and note
		reason   string
		contains []string
	}{
		"readiness": {
			status: corev1.ContainerStatus{Started: ptr.To(true), State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: ago(time.Hour)}}},
			events: [][2]string{{"Unhealthy", "Readiness probe failed: starting"}, {"Unhealthy", "Readiness probe failed: no quorum\n"}},
			reason: v1alpha1.ReasonReadinessProbeFailing, contains: []string{"Pod chat-1 is running", "the readiness probe of container chat fails: Readiness probe failed: no quorum."},
		},
		"liveness": {
			status: corev1.ContainerStatus{RestartCount: 3, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
				LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{StartedAt: ago(time.Minute), FinishedAt: ago(time.Second)}}},
			events: [][2]string{{"Unhealthy", "Liveness probe failed: no"}, {"Killing", "Container chat failed liveness probe, will be restarted"}},
			reason: v1alpha1.ReasonLivenessProbeFailing, contains: []string{"of pod chat-1 because its liveness probe fails: Liveness probe failed: no. Restarts: 3."},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace := newNamespace(t)
			create(t, object(t, namespace, minimal))
			pod := startPods(t, awaitStatefulSet(t, namespace, 3), 0, 3)[1]
			awaitCondition(t, namespace, v1alpha1.ConditionNodesReady, metav1.ConditionTrue, v1alpha1.ReasonPodsReady)
			for _, event := range test.events {
				kubelet.Event(&corev1.ObjectReference{Kind: "Pod", APIVersion: "v1", Namespace: namespace, Name: pod.Name, UID: pod.UID, FieldPath: "spec.containers{chat}"},
					corev1.EventTypeWarning, event[0], event[1])
			}
			test.status.Name, test.status.Image = "chat", "chat"
			eventually(t, "the pod is not Ready", func(ctx context.Context) error {
				if err := admin.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
					return err
				}
				pod.Status.ContainerStatuses = []corev1.ContainerStatus{test.status}
				pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.ContainersReady, Status: corev1.ConditionFalse, LastTransitionTime: ago(time.Minute)}}
				return admin.Status().Update(ctx, pod)
			})
			awaitCondition(t, namespace, v1alpha1.ConditionReady, metav1.ConditionFalse, test.reason, test.contains...)
		})
	}
}

func ago(d time.Duration) metav1.Time { return metav1.NewTime(time.Now().Add(-d)) }

// A statefulSetController is the part of Kubernetes' own that records events.
type statefulSetController struct{ record.EventRecorder }

func newStatefulSetController(t *testing.T) statefulSetController {
	t.Helper()
	return statefulSetController{newRecorder(t, "statefulset-controller")}
}

// newRecorder records events as a component of Kubernetes does.
func newRecorder(t *testing.T, component string) record.EventRecorder {
	t.Helper()
	client := must(kubernetes.NewForConfig(environment.Config))(t)
	broadcaster := record.NewBroadcaster()
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	t.Cleanup(broadcaster.Shutdown)
	return broadcaster.NewRecorder(scheme, corev1.EventSource{Component: component})
}

// refused creates a pod, which the API server must refuse, and records that.
func (c statefulSetController) refused(t *testing.T, set *appsv1.StatefulSet, ordinal int) {
	t.Helper()
	pod := podOf(set, ordinal)
	err := admin.Create(t.Context(), pod)
	if !apierrors.IsForbidden(err) {
		t.Fatalf("the pod is not forbidden: %v", err)
	}
	c.Event(set, corev1.EventTypeWarning, "FailedCreate", fmt.Sprintf("Create Pod %s in StatefulSet %s failed error: %s", pod.Name, set.Name, err))
	updateStatus(t, set, func() { set.Status.ObservedGeneration = set.Generation })
}

// A certificate whose key cert-manager cannot store because of a quota is reported with that quota.
func TestQuotaOfSecrets(t *testing.T) {
	namespace := newNamespace(t)
	limit(t, namespace, corev1.ResourceSecrets, 1) // The cookie is the one.
	create(t, object(t, namespace, minimal))
	startManager(t)
	awaitCondition(t, namespace, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonCertificatesPending,
		"certificate chat-ca", "cert-manager has made no CertificateRequest yet: ResourceQuota limits allows no more Secrets. Raise it")
	limit(t, namespace, corev1.ResourceSecrets, 100)
	awaitRecovery(t, namespace)
}

// A certificate that the issuer has given, and that cert-manager cannot store because of a quota, is
// reported with that quota.
func TestQuotaOfSecretsOnceIssued(t *testing.T) {
	namespace := newNamespace(t)
	create(t, merged(t, object(t, namespace, minimal), `spec: {tls: {issuerRef: {group: example.com, kind: Corporate, name: corp}}}`))
	startManager(t)
	corp := certstest.NewAuthority("corp")
	given := func(asked *x509.CertificateRequest, request *certmanagerv1.CertificateRequest) {
		issue(request, corp.IssueTo(hostOf(asked), asked.PublicKey, validFor(30*24*time.Hour)), corp.Certificate)
	}
	eventually(t, "the request for chat-0-tls, whose key is stored", func(ctx context.Context) error {
		_, err := requestsFor(ctx, namespace, "chat-0-tls")
		return err
	})
	limit(t, namespace, corev1.ResourceSecrets, 0)
	awaitRefusal(t, &corev1.Secret{ObjectMeta: named(namespace, "one-more")})
	answer(t, namespace, "chat-0-tls", given)
	awaitCondition(t, namespace, v1alpha1.ConditionCredentialsReady, metav1.ConditionFalse, v1alpha1.ReasonCertificatesPending,
		"certificate chat-0-tls", "is answered, and cert-manager has not stored the certificate: ResourceQuota limits allows no more Secrets. Raise it")
	limit(t, namespace, corev1.ResourceSecrets, 100)
	for _, name := range []string{"chat-1-tls", "chat-2-tls", "chat-probe-tls"} {
		answer(t, namespace, name, given)
	}
	awaitCondition(t, namespace, v1alpha1.ConditionCredentialsReady, metav1.ConditionTrue, v1alpha1.ReasonCertificatesIssued)
}

// awaitRefusal waits until the API server has noticed a quota, with its status, and returns how it
// refuses the object.
func awaitRefusal(t *testing.T, object client.Object) (refusal string) {
	t.Helper()
	eventually(t, "the quota forbids it", func(ctx context.Context) error {
		err := admin.Create(ctx, object.DeepCopyObject().(client.Object), client.DryRunAll)
		if err == nil {
			return errors.New("it is allowed")
		}
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "exceeded quota") {
			return err
		}
		refusal = err.Error()
		return nil
	})
	return refusal
}

// limit sets a quota as a user and the controller of quotas would. The API server writes into it what is used.
func limit(t *testing.T, namespace string, name corev1.ResourceName, hard int64) {
	t.Helper()
	quota := &corev1.ResourceQuota{ObjectMeta: named(namespace, "limits")}
	limits := corev1.ResourceList{name: *resource.NewQuantity(hard, resource.DecimalSI)}
	quota.Spec.Hard = maps.Clone(limits) // The client reads what there is into the map of an object.
	if err := admin.Create(t.Context(), quota); apierrors.IsAlreadyExists(err) {
		check(t, retry.RetryOnConflict(retry.DefaultBackoff, func() error {
			if _, err := read(t.Context(), quota); err != nil {
				return err
			}
			quota.Spec.Hard = maps.Clone(limits)
			return admin.Update(t.Context(), quota)
		}))
	} else {
		check(t, err)
	}
	updateStatus(t, quota, func() {
		quota.Status.Hard = maps.Clone(limits)
		if quota.Status.Used == nil {
			quota.Status.Used = corev1.ResourceList{name: resource.MustParse("0")}
		}
	})
}
