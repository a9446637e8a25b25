package apply

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applyapps "k8s.io/client-go/applyconfigurations/apps/v1"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/utils/ptr"

	"github.com/erlang-operator/erlang-operator/certs/memo"
)

// appliedFields are what an API server notes of the configuration below.
const appliedFields = `{
	"f:metadata": {"f:labels": {"f:a": {}}},
	"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"chat\"}": {
		".": {}, "f:name": {}, "f:image": {},
		"f:ports": {"k:{\"containerPort\":4369,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}},
		"f:env": {"k:{\"name\":\"POD\"}": {".": {}, "f:name": {}, "f:valueFrom": {"f:fieldRef": {}}}}}}}}}}`

func configured() *applyapps.StatefulSetApplyConfiguration {
	return applyapps.StatefulSet("chat", "shop").WithUID("1").WithLabels(map[string]string{"a": "b"}).WithSpec(applyapps.StatefulSetSpec().
		WithReplicas(3).WithTemplate(applycore.PodTemplateSpec().WithSpec(applycore.PodSpec().WithContainers(applycore.Container().
		WithName("chat").WithImage("x").WithPorts(applycore.ContainerPort().WithContainerPort(4369)).
		WithEnv(applycore.EnvVar().WithName("POD").WithValueFrom(applycore.EnvVarSource().WithFieldRef(applycore.ObjectFieldSelector().WithFieldPath("metadata.name"))))))))
}

// appliedSet is the StatefulSet that this configuration results in.
func appliedSet(uid types.UID) *appsv1.StatefulSet {
	return &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "chat", Namespace: "shop", UID: uid, ResourceVersion: "7", Labels: map[string]string{"a": "b"},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: FieldOwner, Operation: metav1.ManagedFieldsOperationApply, FieldsV1: metav1.NewFieldsV1(appliedFields)}}},
		Spec: appsv1.StatefulSetSpec{ServiceName: "x", Replicas: ptr.To(int32(3)), Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "chat", Image: "x", Ports: []corev1.ContainerPort{{ContainerPort: 4369, Protocol: "TCP"}},
			Env: []corev1.EnvVar{{Name: "POD", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.name"}}}}}}}}}}
}

// An object has the fingerprint of what was applied as long as all of that is there, belongs to
// the manager, and nothing else does. What others have added makes no difference.
func TestFingerprint(t *testing.T) {
	container := func(s *appsv1.StatefulSet) *corev1.Container { return &s.Spec.Template.Spec.Containers[0] }
	fields := func(s *appsv1.StatefulSet, old, replacement string) {
		s.ManagedFields[0].FieldsV1 = metav1.NewFieldsV1(strings.Replace(appliedFields, old, replacement, 1))
	}
	for name, test := range map[string]struct {
		change func(*appsv1.StatefulSet)
		same   bool
	}{
		"as applied":        {func(*appsv1.StatefulSet) {}, true},
		"status":            {func(s *appsv1.StatefulSet) { s.Status.Replicas, s.ResourceVersion = 3, "8" }, true},
		"a default":         {func(s *appsv1.StatefulSet) { s.Spec.RevisionHistoryLimit = ptr.To(int32(10)) }, true},
		"a label of others": {func(s *appsv1.StatefulSet) { s.Labels["theirs"] = "x" }, true},
		"a container of others": {func(s *appsv1.StatefulSet) {
			s.Spec.Template.Spec.Containers = append([]corev1.Container{{Name: "mesh"}}, *container(s))
		}, true},
		"a port of others": {func(s *appsv1.StatefulSet) {
			container(s).Ports = append(container(s).Ports, corev1.ContainerPort{ContainerPort: 80, Protocol: "TCP"})
		}, true},
		"another value":      {func(s *appsv1.StatefulSet) { s.Spec.Replicas = ptr.To(int32(4)) }, false},
		"another label":      {func(s *appsv1.StatefulSet) { s.Labels["a"] = "c" }, false},
		"another image":      {func(s *appsv1.StatefulSet) { container(s).Image = "y" }, false},
		"another field":      {func(s *appsv1.StatefulSet) { container(s).Env[0].ValueFrom.FieldRef.FieldPath = "metadata.uid" }, false},
		"another protocol":   {func(s *appsv1.StatefulSet) { container(s).Ports[0].Protocol = "UDP" }, false},
		"another version":    {func(s *appsv1.StatefulSet) { container(s).Env[0].ValueFrom.FieldRef.APIVersion = "v2" }, false},
		"no container":       {func(s *appsv1.StatefulSet) { s.Spec.Template.Spec.Containers = nil }, false},
		"a field taken over": {func(s *appsv1.StatefulSet) { fields(s, `"f:replicas": {}, `, ``) }, false},
		"a field more": {func(s *appsv1.StatefulSet) {
			fields(s, `"f:replicas": {}, `, `"f:replicas": {}, "f:serviceName": {}, `)
		}, false},
		"of another manager":   {func(s *appsv1.StatefulSet) { s.ManagedFields[0].Manager = "kubectl" }, false},
		"by an update":         {func(s *appsv1.StatefulSet) { s.ManagedFields[0].Operation = metav1.ManagedFieldsOperationUpdate }, false},
		"of the status":        {func(s *appsv1.StatefulSet) { s.ManagedFields[0].Subresource = "status" }, false},
		"without a record":     {func(s *appsv1.StatefulSet) { s.ManagedFields = nil }, false},
		"with a broken record": {func(s *appsv1.StatefulSet) { fields(s, `{`, ``) }, false},
	} {
		set := appliedSet(types.UID(name))
		test.change(set)
		if got := isAsApplied(set, configured(), applied{}, [32]byte{1}); got != test.same {
			t.Errorf("%s: as applied: %t, want %t", name, got, test.same)
		}
	}
}

// A list of thousands of items is some work for each of them, not for each of them with each field.
func TestFingerprintOfLongListsIsLittleWork(t *testing.T) {
	const items = 1000
	account, names := &corev1.ServiceAccount{}, []string{}
	for i := range items {
		account.Secrets = append(account.Secrets, corev1.ObjectReference{Name: fmt.Sprint("s", i)})
		names = append(names, fmt.Sprintf(`"k:{\"name\":\"s%d\"}": {".": {}, "f:name": {}}`, i))
	}
	fields := []byte(`{"f:secrets": {` + strings.Join(names, ",") + `}}`)
	if len(fields) > maxFieldsV1 || fingerprintOfFields(account, fields) == "" {
		t.Fatalf("no fingerprint of %d bytes", len(fields))
	}
	if each := testing.AllocsPerRun(1, func() { fingerprintOfFields(account, fields) }) / items; each > 200 {
		t.Errorf("%.0f allocations for each item", each)
	}
}

// More managed fields than any object of ours has are not looked at.
func TestFingerprintOfVeryManyFieldsIsNone(t *testing.T) {
	for size, want := range map[int]bool{maxFieldsV1: true, maxFieldsV1 + 1: false} {
		fields := `{"f:metadata": {"f:labels": {"f:a": {}}}}`
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{{Manager: FieldOwner,
			Operation: metav1.ManagedFieldsOperationApply, FieldsV1: metav1.NewFieldsV1(fields + strings.Repeat(" ", size-len(fields)))}}}}
		if got := fingerprintOf(account) != ""; got != want {
			t.Errorf("%d bytes: a fingerprint: %t, want %t", size, got, want)
		}
	}
}

// What the API server adds within a value that is applied as a whole makes no difference, whether
// the user wrote the same or nothing, but another value does.
func TestFingerprintIsWithoutDefaults(t *testing.T) {
	fields := []byte(`{"f:spec": {"f:containers": {"k:{\"name\":\"chat\"}": {"f:env": {"k:{\"name\":\"A\"}": {"f:valueFrom": {"f:fileKeyRef": {}}}}}}, "f:volumes": {"k:{\"name\":\"all\"}": {"f:projected": {"f:sources": {}}}}}}`)
	pod := func(seconds *int64, certificateSeconds *int32, optional *bool) string {
		sources := []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: seconds}},
			{PodCertificate: &corev1.PodCertificateProjection{MaxExpirationSeconds: certificateSeconds}},
		}
		env := corev1.EnvVar{Name: "A", ValueFrom: &corev1.EnvVarSource{FileKeyRef: &corev1.FileKeySelector{Key: "a", Optional: optional}}}
		return fingerprintOfFields(&corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "chat", Env: []corev1.EnvVar{env}}},
			Volumes: []corev1.Volume{{Name: "all", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: sources}}}}}}, fields)
	}
	applied := pod(nil, nil, nil)
	for name, test := range map[string]struct {
		fingerprint string
		same        bool
	}{
		"defaults":            {pod(ptr.To(int64(3600)), ptr.To(int32(86400)), ptr.To(false)), true},
		"a shorter token":     {pod(ptr.To(int64(600)), nil, nil), false},
		"a short certificate": {pod(nil, ptr.To(int32(3600)), nil), false},
		"optional":            {pod(nil, nil, ptr.To(true)), false},
	} {
		if (test.fingerprint == applied) != test.same || test.fingerprint == "" {
			t.Errorf("%s: the fingerprint is %q, without %q", name, test.fingerprint, applied)
		}
	}
}

// A mark stays when the object is looked at again with less in it.
func TestMarkStays(t *testing.T) {
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{UID: "1", Labels: map[string]string{"a": "b"}}}
	whole := stampOf(set)
	Mark(set)
	set.Labels = nil
	Mark(set)
	if stamp, _ := markOf(set); stamp != whole || stamp == stampOf(set) {
		t.Errorf("the stamp is %s, was %s, and would be %s", stamp, whole, stampOf(set))
	}
}

// Of an object that is as this process has applied it there is no fingerprint: to compute it is the most
// of the work of keeping an object in the cache. As soon as somebody changes the object there is one.
func TestNoFingerprintOfOwnWrites(t *testing.T) {
	set := appliedSet(types.UID(rand.Text()))
	fingerprint := func() string {
		marked := set.DeepCopy()
		Mark(marked)
		_, fingerprint := markOf(marked)
		return fingerprint
	}
	if fingerprint() == "" {
		t.Error("a process that has applied nothing has no fingerprint")
	}
	own.Put(memo.KeyOf([]byte(stampOf(set))), struct{}{})
	if fingerprint() != "" {
		t.Error("there is a fingerprint of what this process has applied")
	}
	set.ResourceVersion = "8"
	if fingerprint() == "" {
		t.Error("there is no fingerprint of what somebody has changed since")
	}
}
