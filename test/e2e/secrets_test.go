//go:build e2e

package e2e

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// Each pod mounts its own key and no other, and of the Secret of the cookie the current
// one alone. The cookie and the keys are in no status, event, log, environment, or object
// but Secrets.
func TestSecrets(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Namespace(t), "chat", 2, "27")

	for ordinal := range 2 {
		mounted := kubectl.Must(t, "get", "pod", c.Pod(ordinal), "-n", c.Namespace, "-o", "jsonpath={.spec.volumes[*].secret.secretName}")
		if want := c.Pod(ordinal) + "-tls chat-cookie"; mounted != want {
			t.Errorf("%s mounts the Secrets %q, want %q", c.Pod(ordinal), mounted, want)
		}
		keys := kubectl.Must(t, "exec", "-n", c.Namespace, c.Pod(ordinal), "--", "sh", "-c", "grep -Rl 'PRIVATE KEY' /run/erlang-operator | grep -v '/\\.\\.'")
		if want := "/run/erlang-operator/tls/tls-combined.pem\n"; keys != want {
			t.Errorf("%s has keys in %q, want %q", c.Pod(ordinal), keys, want)
		}
		if cookies := kubectl.Must(t, "exec", "-n", c.Namespace, c.Pod(ordinal), "--", "ls", "/run/erlang-operator/cookie"); cookies != "cookie\n" {
			t.Errorf("%s has the cookies %q, want one", c.Pod(ordinal), cookies)
		}
	}

	cookie := harness.Must(c.Cookie(t.Context()))(t)
	encoded := base64.StdEncoding.EncodeToString([]byte(cookie))
	if len(cookie) < 32 {
		t.Fatalf("the cookie has %d characters", len(cookie))
	}
	places := map[string]string{
		"status, events, ConfigMaps, pods": kubectl.Must(t, "get", "erlangclusters,events,configmaps,pods,statefulsets,deployments", "-n", c.Namespace, "-o", "yaml"),
		"log of the probe":                 kubectl.Must(t, "logs", "-n", c.Namespace, "deployment/chat-probe"),
		"log of the manager":               kubectl.Must(t, "logs", "-n", "erlang-operator-system", "deployment/erlang-operator-manager"),
		"environment of a member":          kubectl.Must(t, "exec", "-n", c.Namespace, c.Pod(0), "--", "cat", "/proc/1/environ"),
		"log of a member":                  kubectl.Must(t, "logs", "-n", c.Namespace, c.Pod(0)),
	}
	for place, text := range places {
		for _, secret := range []string{cookie, encoded, "PRIVATE KEY"} {
			if strings.Contains(text, secret) {
				t.Errorf("the cookie or a key is in the %s", place)
			}
		}
	}
	if !strings.Contains(places["status, events, ConfigMaps, pods"], "BEGIN CERTIFICATE") {
		t.Error("the search did not find the trust bundle, so it proves nothing")
	}
}
