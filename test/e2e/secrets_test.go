//go:build e2e

package e2e

import (
	"encoding/base64"
	"strings"
	"testing"
)

// Each pod mounts its own key and no other, and nobody tells the cookie.
func TestSecrets(t *testing.T) {
	t.Parallel()
	c := start(t, namespace(t), "chat", 2, "27")

	for ordinal := range 2 {
		mounted := must(t, "get", "pod", c.pod(ordinal), "-n", c.namespace, "-o", "jsonpath={.spec.volumes[*].secret.secretName}")
		if want := c.pod(ordinal) + "-tls"; mounted != want {
			t.Errorf("%s mounts the Secrets %q, want %q", c.pod(ordinal), mounted, want)
		}
		keys := must(t, "exec", "-n", c.namespace, c.pod(ordinal), "--", "sh", "-c", "grep -Rl 'PRIVATE KEY' /run/erlang-operator | grep -v '/\\.\\.'")
		if want := "/run/erlang-operator/tls/tls-combined.pem\n"; keys != want {
			t.Errorf("%s has keys in %q, want %q", c.pod(ordinal), keys, want)
		}
	}

	encoded := must(t, "get", "secret", "chat-cookie", "-n", c.namespace, "-o", "jsonpath={.data.cookie}")
	cookie, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(cookie) < 32 {
		t.Fatalf("a cookie of %d characters, %v", len(cookie), err)
	}
	places := map[string]string{
		"status, events, ConfigMaps, pods": must(t, "get", "erlangclusters,events,configmaps,pods,statefulsets,deployments", "-n", c.namespace, "-o", "yaml"),
		"log of the probe":                 must(t, "logs", "-n", c.namespace, "deployment/chat-probe"),
		"log of the manager":               must(t, "logs", "-n", "erlang-operator-system", "deployment/erlang-operator-manager"),
		"log of a member":                  must(t, "logs", "-n", c.namespace, c.pod(0)),
	}
	for place, text := range places {
		for _, secret := range []string{string(cookie), encoded, "PRIVATE KEY"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s: holds the cookie or a key", place)
			}
		}
	}
	if !strings.Contains(places["status, events, ConfigMaps, pods"], "BEGIN CERTIFICATE") {
		t.Error("the search did not see the trust bundle, so it proves nothing")
	}
}
