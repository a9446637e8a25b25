package harness

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// Killer kills the active pod of a Deployment again and again.
type Killer struct {
	name, namespace, selector string
	lease                     string // that the active pod holds; empty if it needs none
	random                    *rand.Rand
	killed                    int
}

// ManagerKiller kills the manager.
func ManagerKiller(random *rand.Rand) *Killer {
	return &Killer{name: "manager", namespace: "erlang-operator-system", selector: "app.kubernetes.io/component=manager",
		lease: "erlang-operator.erlang-operator.dev", random: random}
}

// ProbeKiller kills the probe of a cluster.
func (c Cluster) ProbeKiller(random *rand.Rand) *Killer {
	return &Killer{name: "probe", namespace: c.Namespace, random: random,
		selector: "erlang-operator.dev/cluster=" + c.Name + ",erlang-operator.dev/component=probe"}
}

// WhileKilling calls do while each killer kills that many times, and waits for both.
func WhileKilling(t testing.TB, killers []*Killer, times int, do func()) {
	t.Helper()
	OneMachine(t)
	var kills sync.WaitGroup
	t.Cleanup(kills.Wait) // do may end the test.
	for _, killer := range killers {
		kills.Go(func() { killer.kill(t, times) })
	}
	do()
	kills.Wait()
}

// kill kills that many times more, each time at a random moment after another pod has
// become active.
func (k *Killer) kill(t testing.TB, times int) {
	ctx := t.Context()
	for end := k.killed + times; k.killed < end && ctx.Err() == nil; {
		pod, err := k.active(ctx)
		if err != nil {
			time.Sleep(200 * time.Millisecond) // until the next look
			continue
		}
		time.Sleep(time.Duration(k.random.Int64N(int64(5 * time.Second)))) // The kills are spread over the pod's life.
		// A process that the kubelet ends releases its lease first. One in five is killed
		// without that, so its successor waits until the lease expires.
		err = k.end(ctx, pod, k.lease != "" && k.killed%5 == 1)
		switch {
		case err == nil:
			k.killed++
			t.Logf("killed the %s, number %d", k.name, k.killed)
		case ctx.Err() == nil && !strings.Contains(err.Error(), "NotFound"): // It may have ended by itself.
			t.Errorf("kill the %s: %v", k.name, err)
			return
		}
	}
}

// active is the pod that does the work now.
func (k *Killer) active(ctx context.Context) (corev1.Pod, error) {
	var running corev1.PodList
	if err := kubectl.Get(ctx, &running, "pods", "-n", k.namespace, "-l", k.selector, "--field-selector=status.phase=Running"); err != nil {
		return corev1.Pod{}, err
	}
	holder := ""
	if k.lease != "" {
		var err error
		if holder, err = kubectl.Run(ctx, "get", "lease", k.lease, "-n", k.namespace, "-o", "jsonpath={.spec.holderIdentity}"); err != nil {
			return corev1.Pod{}, err
		}
	}
	for _, pod := range running.Items {
		if k.lease == "" || strings.HasPrefix(holder, pod.Name+"_") {
			return pod, nil
		}
	}
	return corev1.Pod{}, fmt.Errorf("no %s is active", k.name)
}

// end deletes a pod without grace. If atOnce, its process is killed before, without even
// the two seconds that a kubelet always gives.
func (k *Killer) end(ctx context.Context, pod corev1.Pod, atOnce bool) error {
	if atOnce {
		killed, err := KillProcesses("erlang-operator", "cgroup", "pod"+string(pod.UID))
		if err != nil {
			return err
		}
		if killed == 0 {
			return fmt.Errorf("no process of pod %s runs on this machine", pod.Name)
		}
	}
	_, err := kubectl.Run(ctx, "delete", "pod", pod.Name, "-n", k.namespace, "--grace-period=0", "--force")
	return err
}
