//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// The manifest and the commands of docs/migrating.md replace a StatefulSet: the volumes,
// the cookie and the names of the pods stay.
func TestMigration(t *testing.T) {
	t.Parallel()
	volumes := t.TempDir() // deleted after the namespace
	ns := harness.Namespace(t)
	harness.LocalVolumes(t, volumes, ns, "data-chat-0", "data-chat-1", "data-chat-2")
	startStatefulSet(t, ns)
	guide := strings.ReplaceAll(string(harness.Must(os.ReadFile("../../docs/migrating.md"))(t)), "namespace: shop", "namespace: "+ns)

	guide = strings.NewReplacer("-n shop", "-n "+ns, "--namespace=shop", "--namespace="+ns).Replace(guide)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "chat.yaml"), []byte(fenced(t, guide, "yaml")[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(commands string) {
		t.Helper()
		shell := exec.CommandContext(t.Context(), "sh", "-ec", commands)
		shell.Dir = dir
		if out, err := shell.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", commands, err, out)
		}
	}

	c := harness.Cluster{Namespace: ns, Name: "chat"}
	steps := fenced(t, guide, "sh")
	run(steps[0])
	c.AwaitCondition(t, v1alpha1.ConditionCredentialsReady, metav1.ConditionTrue, v1alpha1.ReasonCertificatesIssued)
	deletion, _, _ := strings.Cut(steps[1], "\n")
	c.AwaitCondition(t, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNameConflict, deletion)
	run(steps[1])
	c.AwaitReady(t, 3)
	if got := harness.Must(c.Cookie(t.Context()))(t); got != "TheCookieOfBefore" {
		t.Error("the cookie is another one")
	}
	for ordinal := range 3 {
		if got := harness.Must(c.Exec(t.Context(), ordinal, "cat", "/var/lib/chat/name"))(t); got != c.Pod(ordinal)+"\n" {
			t.Errorf("the volume of %s has the data of %q", c.Pod(ordinal), got)
		}
	}
}

// fenced are the blocks of a language in a document.
func fenced(t *testing.T, document, language string) []string {
	t.Helper()
	var blocks []string
	for _, rest := range strings.Split(document, "\n```"+language+"\n")[1:] {
		block, _, _ := strings.Cut(rest, "\n```\n")
		blocks = append(blocks, block)
	}
	if len(blocks) == 0 {
		t.Fatalf("the document has no block of %s", language)
	}
	return blocks
}

// startStatefulSet is what somebody has before: each pod has written into its volume.
func startStatefulSet(t *testing.T, namespace string) {
	t.Helper()
	if err := kubectl.Apply(t.Context(), `apiVersion: v1
kind: Secret
metadata: {name: chat-cookie-mine}
stringData: {cookie: TheCookieOfBefore}
---
apiVersion: v1
kind: Service
metadata: {name: chat-nodes}
spec: {clusterIP: None, selector: {app: chat}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: chat}
spec:
  replicas: 3
  serviceName: chat-nodes
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: chat}}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
  template:
    metadata: {labels: {app: chat}}
    spec:
      terminationGracePeriodSeconds: 1
      securityContext: {runAsUser: 0}
      containers:
      - name: chat
        image: erlang:27
        command: [sh, -c, hostname > /var/lib/chat/name && exec sleep infinity]
        volumeMounts: [{name: data, mountPath: /var/lib/chat}]
`, "-n", namespace); err != nil {
		t.Fatal(err)
	}
	kubectl.Must(t, "rollout", "status", "statefulset/chat", "-n", namespace, "--timeout=4m")
}
