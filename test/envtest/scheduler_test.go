package envtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// A real scheduler spreads pods with the defaults of the template over machines and zones,
// also where machines have no zone, and needs neither.
func TestScheduler(t *testing.T) {
	program := filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kube-scheduler")
	if _, err := os.Stat(program); err != nil {
		t.Skip("KUBEBUILDER_ASSETS has no kube-scheduler; `make test-envtest` adds it")
	}
	c, kubeconfig := startAPIServer(t)
	startScheduler(t, program, kubeconfig)
	for name, test := range map[string]struct {
		machines map[string]string // their zones
		pods     int
		want     []int // pods of a machine, ascending
		zones    []int // pods of a zone
	}{
		"zones of two machines":    {map[string]string{"a1": "a", "a2": "a", "b1": "b", "b2": "b", "c1": "c", "c2": "c"}, 3, []int{1, 1, 1}, []int{1, 1, 1}},
		"twice as many as zones":   {map[string]string{"a1": "a", "a2": "a", "b1": "b", "b2": "b", "c1": "c", "c2": "c"}, 6, []int{1, 1, 1, 1, 1, 1}, []int{2, 2, 2}},
		"no zones":                 {map[string]string{"one": "", "two": "", "three": ""}, 5, []int{1, 2, 2}, []int{5}},
		"a machine without a zone": {map[string]string{"a1": "a", "b1": "b", "none": ""}, 3, []int{1, 1, 1}, []int{1, 1, 1}},
		"one machine":              {map[string]string{"one": ""}, 3, []int{3}, []int{3}},
	} {
		t.Run(name, func(t *testing.T) {
			// The scheduler may still know machines and pods of the subtest before.
			own := strings.ReplaceAll(name, " ", "-")
			for machine, zone := range test.machines {
				createMachine(t, c, own, machine, zone)
			}
			onMachine, onZone := map[string]int{}, map[string]int{}
			for ordinal := range test.pods {
				machine := schedule(t, c, memberOn(t, own, ordinal))
				onMachine[machine]++
				onZone[test.machines[strings.TrimPrefix(machine, own+"-")]]++
			}
			if diff := cmp.Diff(test.want, slices.Sorted(maps.Values(onMachine))); diff != "" {
				t.Errorf("pods on machines %v (-want +got):\n%s", onMachine, diff)
			}
			if diff := cmp.Diff(test.zones, slices.Sorted(maps.Values(onZone))); diff != "" {
				t.Errorf("pods in zones %v (-want +got):\n%s", onZone, diff)
			}
		})
	}
}

// labelSubtest is of a machine, and has a value for each subtest.
const labelSubtest = "example.com/subtest"

// createMachine creates a machine of a subtest, and waits until the scheduler knows it.
func createMachine(t *testing.T, c client.Client, subtest, name, zone string) {
	t.Helper()
	name = subtest + "-" + name
	machine := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name, labelSubtest: subtest}}}
	if zone != "" {
		machine.Labels[corev1.LabelTopologyZone] = subtest + "-" + zone
	}
	check(t, c.Create(t.Context(), machine))
	t.Cleanup(func() { _ = c.Delete(context.Background(), machine) })
	machine.Spec.Taints = nil // which the API server sets until a machine is Ready
	check(t, c.Update(t.Context(), machine))
	machine.Status.Allocatable = corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("8Gi"), corev1.ResourcePods: resource.MustParse("110")}
	machine.Status.Capacity = machine.Status.Allocatable
	check(t, c.Status().Update(t.Context(), machine))
	schedule(t, c, &corev1.Pod{ObjectMeta: named("default", name), Spec: corev1.PodSpec{
		NodeSelector: map[string]string{corev1.LabelHostname: name}, Containers: containers}})
}

func startScheduler(t *testing.T, program, kubeconfig string) {
	t.Helper()
	scheduler := exec.Command(program, "--kubeconfig="+kubeconfig, "--leader-elect=false", "--secure-port=0")
	log := must(os.Create(filepath.Join(t.TempDir(), "scheduler.log")))(t)
	scheduler.Stdout, scheduler.Stderr = log, log
	scheduler.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	check(t, scheduler.Start())
	t.Cleanup(func() {
		_ = scheduler.Process.Kill()
		_ = scheduler.Wait()
		if t.Failed() {
			t.Log(tail(log.Name(), 20))
		}
	})
}

var containers = []corev1.Container{{Name: "chat", Image: "example.com/chat:1"}}

// memberOn is a pod with the defaults that every new cluster has, for the machines of a subtest.
func memberOn(t *testing.T, subtest string, ordinal int) *corev1.Pod {
	t.Helper()
	text := must(os.ReadFile(filepath.Join(repository(), "controllers/internal/plan/testdata/podtemplates/defaults-1.golden.yaml")))(t)
	pod := &corev1.Pod{}
	check(t, yaml.Unmarshal(text, pod))
	pod.Namespace, pod.Name = "default", fmt.Sprintf("chat-%s-%d", subtest, ordinal)
	pod.Labels = map[string]string{labelCluster: "chat", labelComponent: "node"}
	pod.Spec.Containers, pod.Spec.NodeSelector = containers, map[string]string{labelSubtest: subtest}
	return pod
}

// schedule creates a pod, and returns its machine.
func schedule(t *testing.T, c client.Client, pod *corev1.Pod) string {
	t.Helper()
	check(t, c.Create(t.Context(), pod))
	t.Cleanup(func() { _ = c.Delete(context.Background(), pod, client.GracePeriodSeconds(0)) })
	eventually(t, "pod "+pod.Name+" is scheduled", func(ctx context.Context) error {
		err := c.Get(ctx, client.ObjectKeyFromObject(pod), pod)
		if err == nil && pod.Spec.NodeName == "" {
			err = errors.New(fmt.Sprint(pod.Status.Conditions))
		}
		return err
	})
	return pod.Spec.NodeName
}
