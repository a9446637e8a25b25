//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

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

	commands := exec.CommandContext(t.Context(), "sh", "-ec", strings.ReplaceAll(fenced(t, guide, "sh"), "-n shop", "-n "+ns))
	commands.Dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(commands.Dir, "chat.yaml"), []byte(fenced(t, guide, "yaml")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := commands.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}

	c := harness.Cluster{Namespace: ns, Name: "chat"}
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

// fenced is the first block of a language in a document.
func fenced(t *testing.T, document, language string) string {
	t.Helper()
	_, block, found := strings.Cut(document, "\n```"+language+"\n")
	if !found {
		t.Fatalf("the document has no block of %s", language)
	}
	block, _, _ = strings.Cut(block, "\n```\n")
	return block
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
        image: erlang-operator/erlang:27
        command: [sh, -c, hostname > /var/lib/chat/name && exec sleep infinity]
        volumeMounts: [{name: data, mountPath: /var/lib/chat}]
`, "-n", namespace); err != nil {
		t.Fatal(err)
	}
	kubectl.Must(t, "rollout", "status", "statefulset/chat", "-n", namespace, "--timeout=60s")
}
