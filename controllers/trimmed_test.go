package controllers

import (
	"encoding/json"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/randfill"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
	"github.com/erlang-operator/erlang-operator/controllers/internal/status"
)

// What trim drops is not read: whatever an object has in fields of any name, the manager plans and
// reports the same for it before and after.
func TestTrimmedObjectsAreDecidedAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		observed := statetest.Draw(t)
		if rapid.Bool().Draw(t, "nearly Ready") {
			observed = drawNearlyReady(t)
		}
		n := noise{randfill.NewWithSeed(rapid.Int64().Draw(t, "seed")).NilChance(0.3).NumElements(1, 2).MaxDepth(12).Funcs(meaningful...)}
		n.fill(t, &observed)
		before := decided(t, observed)
		for _, object := range objectsOf(&observed) {
			if _, err := trim(object); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(before, decided(t, observed)); diff != "" {
			t.Errorf("trimmed objects are decided on in another way (-untrimmed +trimmed):\n%s", diff)
		}
	})
}

// drawNearlyReady is a cluster in which hardly anything is wrong, so that what is gets reported.
func drawNearlyReady(t *rapid.T) state.State {
	situation := statetest.Situation{CA: "blue", Trust: []string{"blue"}, Cookie: "TheCookieOfTheCluster", StatefulSet: &statetest.StatefulSet{Replicas: 2},
		Others: []string{"Deployment/chat-probe", "Issuer/chat-ca"}, Silent: rapid.SampledFrom([]time.Duration{0, time.Minute}).Draw(t, "silent")}
	for _, owner := range []string{"chat-probe", "chat-0", "chat-1"} {
		if rapid.IntRange(0, 5).Draw(t, "requested") == 0 {
			situation.Requested = append(situation.Requested, owner)
		} else {
			situation.Issued = append(situation.Issued, statetest.Issued{To: owner, By: "blue"})
		}
	}
	for _, name := range []string{"chat-0", "chat-1"} {
		situation.Pods = append(situation.Pods, statetest.Pod{Name: name})
		if rapid.Bool().Draw(t, "verified") {
			situation.Verified = append(situation.Verified, name)
		}
	}
	observed := situation.Seen(chat(2))
	for _, name := range []string{"chat-0-tls", "chat-1-tls"} {
		if certificate := observed.Certificates[name]; rapid.IntRange(0, 3).Draw(t, "refused") == 0 {
			certificate.Spec.IssuerRef = certmanagermeta.IssuerReference{Name: "chat-ca", Kind: certmanager.IssuerKind, Group: certmanager.SchemeGroupVersion.Group}
			certificate.Status.Conditions = append(certificate.Status.Conditions, certmanager.CertificateCondition{
				Type: certmanager.CertificateConditionIssuing, Status: certmanagermeta.ConditionFalse, Reason: certmanager.CertificateRequestReasonFailed})
		}
	}
	return observed
}

// objectsOf are those of a state that come from a cache.
func objectsOf(observed *state.State) (all []client.Object) {
	for _, object := range observed.Owned {
		all = append(all, object.(client.Object))
	}
	for i := range observed.Pods {
		all = append(all, &observed.Pods[i])
	}
	for i := range observed.ProbePods {
		all = append(all, &observed.ProbePods[i])
	}
	for name := range observed.Certificates {
		all = append(all, observed.Certificates[name])
	}
	for name := range observed.Secrets {
		all = append(all, observed.Secrets[name])
	}
	for name := range observed.Requests {
		all = append(all, observed.Requests[name])
	}
	for name := range observed.Issued {
		all = append(all, observed.Issued[name])
	}
	return all
}

// decided is what the manager plans and reports, as text. Of objects it has their names.
func decided(t *rapid.T, observed state.State) string {
	planned := plan.Make(observed, Settings{Image: "example.com/erlang-operator:v1", Domain: naming.DefaultDomain}, "AFreshCookie")
	report := status.Compute(observed, planned, status.Outcome{})
	var names []string
	for _, object := range planned.Delete {
		names = append(names, "delete "+object.GetObjectKind().GroupVersionKind().Kind+" "+object.GetName())
	}
	for _, pod := range report.Joined {
		names = append(names, "joined "+pod.Name)
	}
	for _, pod := range planned.Rollout.Replace {
		names = append(names, "replace "+pod.Name)
	}
	planned.Delete, planned.Rollout.Replace, report.Joined = nil, nil, nil
	text, err := json.MarshalIndent([]any{names, planned, report}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// noise fills the fields of objects.
type noise struct{ *randfill.Filler }

// fill gives the pods of a state any status, and fills the fields of all objects that are empty.
func (n noise) fill(t *rapid.T, observed *state.State) {
	for range rapid.IntRange(0, 2).Draw(t, "pods of the probe") {
		observed.ProbePods = append(observed.ProbePods, corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "chat-probe-6b7c9"}})
	}
	for i := range observed.Pods {
		if rapid.Bool().Draw(t, "another status") {
			observed.Pods[i].Status = corev1.PodStatus{}
		}
	}
	for _, object := range objectsOf(observed) {
		deleted := object.GetDeletionTimestamp()
		n.into(reflect.ValueOf(object).Elem())
		object.SetGeneration(1)
		if certificate, ok := object.(*certmanager.Certificate); ok {
			for i := range certificate.Status.Conditions {
				certificate.Status.Conditions[i].ObservedGeneration = 1
			}
		}
		if rapid.IntRange(0, 9).Draw(t, "deleted") > 0 {
			object.SetDeletionTimestamp(deleted)
		}
	}
}

func (n noise) into(value reflect.Value) {
	switch {
	case !value.CanSet() || value.Type() == reflect.TypeFor[time.Time]() || value.Type() == reflect.TypeFor[metav1.TypeMeta]():
	case value.IsZero():
		n.Fill(value.Addr().Interface())
	case value.Kind() == reflect.Pointer:
		n.into(value.Elem())
	case value.Kind() == reflect.Struct:
		for i := range value.NumField() {
			n.into(value.Field(i))
		}
	case value.Kind() == reflect.Slice:
		for i := range value.Len() {
			n.into(value.Index(i))
		}
	}
}

// meaningful are values that a decision may depend on, where any others would not do.
var meaningful = []any{
	func(*metav1.TypeMeta, randfill.Continue) {},
	func(q *resource.Quantity, _ randfill.Continue) { *q = resource.MustParse("1") },
	func(f *metav1.FieldsV1, _ randfill.Continue) { *f = *metav1.NewFieldsV1(`{"f:spec":{"f:paused":{}}}`) },
	func(at *metav1.Time, c randfill.Continue) {
		*at = metav1.NewTime(statetest.Now.Add(-time.Duration(c.Intn(600)) * time.Second))
	},
	func(phase *corev1.PodPhase, c randfill.Continue) {
		*phase = oneOf(c, corev1.PodRunning, corev1.PodRunning, corev1.PodPending, corev1.PodFailed)
	},
	func(pod *corev1.PodStatus, c randfill.Continue) {
		c.FillNoCustom(pod)
		pod.Conditions = nil
		for _, kind := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady, v1alpha1.ReadinessGate, corev1.DisruptionTarget} {
			condition := corev1.PodCondition{Type: kind, Status: oneOf(c, corev1.ConditionTrue, corev1.ConditionTrue, corev1.ConditionFalse)}
			c.Fill(&condition.Message)
			c.Fill(&condition.LastTransitionTime)
			condition.Reason = oneOf(c, "ReadinessGatesNotReady", condition.Message)
			pod.Conditions = append(pod.Conditions, condition)
		}
	},
	func(container *corev1.ContainerStatus, c randfill.Continue) {
		c.FillNoCustom(container)
		container.RestartCount = oneOf[int32](c, 0, 1, 5)
	},
	func(container *corev1.ContainerState, c randfill.Continue) { // one of its fields
		switch c.Intn(6) {
		case 0:
			c.Fill(&container.Waiting)
		case 1:
			c.Fill(&container.Terminated)
		default:
			c.Fill(&container.Running)
		}
	},
	func(waiting *corev1.ContainerStateWaiting, c randfill.Continue) {
		c.FillNoCustom(waiting)
		waiting.Reason = oneOf(c, "CrashLoopBackOff", "ErrImagePull", "ContainerCreating", "CreateContainerError", waiting.Reason)
	},
	func(ended *corev1.ContainerStateTerminated, c randfill.Continue) {
		c.FillNoCustom(ended)
		ended.ExitCode, ended.Reason = oneOf[int32](c, 0, 1, 137), oneOf(c, "OOMKilled", "Error")
	},
	func(condition *appsv1.DeploymentCondition, c randfill.Continue) {
		c.FillNoCustom(condition)
		condition.Type, condition.Status = oneOf(c, appsv1.DeploymentReplicaFailure, appsv1.DeploymentProgressing), oneOf(c, corev1.ConditionTrue, corev1.ConditionFalse)
	},
	func(condition *certmanager.CertificateCondition, c randfill.Continue) {
		c.FillNoCustom(condition)
		condition.Type = oneOf(c, certmanager.CertificateConditionReady, certmanager.CertificateConditionIssuing)
		condition.Status = oneOf(c, certmanagermeta.ConditionTrue, certmanagermeta.ConditionFalse)
	},
	func(condition *certmanager.CertificateRequestCondition, c randfill.Continue) {
		c.FillNoCustom(condition)
		condition.Type = oneOf(c, certmanager.CertificateRequestConditionReady, certmanager.CertificateRequestConditionApproved, certmanager.CertificateRequestConditionDenied)
		condition.Status = oneOf(c, certmanagermeta.ConditionTrue, certmanagermeta.ConditionFalse)
	},
}

func oneOf[V any](c randfill.Continue, values ...V) V { return values[c.Intn(len(values))] }

// A manager whose cache keeps everything writes the same, and as often.
func TestTrimmedObjectsAreAppliedAlike(t *testing.T) {
	for name := range transitions {
		t.Run(name, func(t *testing.T) {
			whole, trimmed := converged(name, false), converged(name, true)
			if diff := cmp.Diff(whole.description(), trimmed.description()); diff != "" || whole.writes != trimmed.writes {
				t.Errorf("%d writes with whole objects, %d with trimmed ones (-whole +trimmed):\n%s", whole.writes, trimmed.writes, diff)
			}
		})
	}
}

// convergedBefore has each simulation have UIDs of its own: this process knows of those what it applied.
var convergedBefore atomic.Int32

// converged is a simulation after a transition, with the same manager from the beginning, whose
// cache has trimmed objects or whole ones.
func converged(name string, isTrimmed bool) *simulation {
	transition := transitions[name]
	w := newSimulation(transition.from.DeepCopy())
	w.uids = int(convergedBefore.Add(1)) * 1_000_000
	manager := w.manager(w.present)
	if !isTrimmed {
		split := splitClient{Client: w.withFaults(), cached: w.present}
		manager.Client, manager.observer.Cached, manager.observer.Secrets, manager.applier.Client = split, split, w.present, split
	}
	must(w.converge(manager))
	if transition.to != nil {
		w.edit(transition.to)
	}
	if transition.expiring != "" {
		w.nearlyExpire(transition.expiring)
	}
	must(w.converge(manager))
	return w
}
