package envtest

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// Foreign objects with our labels, of the largest size, in any number, do not fill the
// memory of the manager, whose container has 256 MiB.
func TestForeignObjectsAreNotHeldInMemory(t *testing.T) {
	c, kubeconfig := startAPIServer(t)
	large := strings.Repeat("x", 900<<10)
	for i := range 200 {
		metadata := metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("large-%d", i), Labels: map[string]string{"erlang-operator.dev/cluster": "chat"}}
		for _, object := range []client.Object{
			&corev1.ConfigMap{ObjectMeta: *metadata.DeepCopy(), Data: map[string]string{"trust.pem": large}},
			&corev1.Secret{ObjectMeta: *metadata.DeepCopy(), Data: map[string][]byte{"tls.crt": []byte(large)}},
		} {
			check(t, c.Create(t.Context(), object))
		}
	}
	makeCluster(t, c, "good-0", `{}`)
	m := startManagerWith(t, kubeconfig)
	follow(t, c, 1, 9109)
	if resident := m.resident(t); resident > 160<<20 {
		t.Errorf("the manager holds %d MiB", resident>>20)
	}
	// Secrets are watched when a cluster refers to one, and then by name only.
	cluster := clusterIn("good-0")
	if err := c.Patch(t.Context(), cluster, client.RawPatch("application/merge-patch+json",
		[]byte(`{"spec":{"cookie":{"secretKeyRef":{"name":"missing"}},"distribution":{"ports":{"min":9200,"max":9205}}}}`))); err != nil {
		t.Fatal(err)
	}
	follow(t, c, 1, 9205)
	eventually(t, "the missing Secret is reported", func(ctx context.Context) error {
		if err := c.Get(ctx, client.ObjectKeyFromObject(cluster), cluster); err != nil {
			return err
		}
		if stalled := meta.FindStatusCondition(cluster.Status.Conditions, v1alpha1.ConditionStalled); stalled == nil || !strings.Contains(stalled.Message, "good-0/missing does not exist") {
			return fmt.Errorf("there are %s", summary(cluster))
		}
		return nil
	})
	if resident := m.resident(t); resident > 160<<20 {
		t.Errorf("the manager holds %d MiB, with a secretKeyRef", resident>>20)
	}
}

// resident is the most memory that the manager's process has held.
func (m *manager) resident(t *testing.T) int {
	t.Helper()
	text := must(os.ReadFile(fmt.Sprintf("/proc/%d/status", m.command.Process.Pid)))(t)
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kilobytes := must(strconv.Atoi(strings.Fields(value)[0]))(t)
			t.Logf("the manager has held %d MiB at most", kilobytes>>10)
			return kilobytes << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}
