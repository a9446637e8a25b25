//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// Every credential changes while nodes of mixed releases call each other: nothing
// restarts, no link and no call is lost, the cluster is Ready all the time, and no member
// accepts a former credential.
func TestRotation(t *testing.T) {
	t.Parallel()
	for _, members := range []int{3, 7} {
		t.Run(fmt.Sprintf("of%d", members), func(t *testing.T) {
			t.Parallel()
			c := harness.StartMixed(t, "chat", members)
			pods := harness.Must(c.Restarts(t.Context(), members))(t)
			first := harness.Must(c.Credentials(t.Context()))(t)
			c.CheckVerdicts(t, members, "member", first, v1alpha1.ReasonVerified)
			c.StartTraffic(t, members)
			checkReady := c.WatchReady(t)

			c.RenewCertificates(t, members)
			c.RotateCA(t, members, "2026-11")
			c.RotateCookie(t, members, "2026-11")

			c.AwaitReady(t, members)
			checkReady()
			c.CheckTraffic(t, members)
			c.CheckRestarts(t, members, pods)
			c.CheckFormerCredentials(t, members, first)

			// A member that restarts, and one that is added, have the new credentials.
			kubectl.Must(t, "delete", "pod", c.Pod(1), "-n", c.Namespace, "--wait")
			c.Scale(t, members+1)
			c.AwaitReady(t, members+1)
			harness.Must(c.ServedCA(t.Context()))(t)
		})
	}
}

// An imported cookie that changes in the user's Secret is followed.
func TestImportedCookieRotation(t *testing.T) {
	t.Parallel()
	ns := harness.MixedNamespace(t)
	kubectl.Must(t, "create", "secret", "generic", "mine", "-n", ns, "--from-literal=cookie=TheFirstCookie")
	c := harness.Start(t, ns, "chat", 2, "25", "cookie: {secretKeyRef: {name: mine}}")
	kubectl.Must(t, "patch", "secret", "mine", "-n", ns, "--type=merge", "-p", `{"stringData":{"cookie":"TheSecondCookie"}}`)
	c.AwaitCookie(t, 3*time.Minute, "TheFirstCookie")
	if got := harness.Must(c.Cookie(t.Context()))(t); got != "TheSecondCookie" {
		t.Errorf("the cookie has %d characters, and is not the user's", len(got))
	}
	c.AwaitReady(t, 2)
}

// A change from the private CA to an issuer of the user's own, and back, loses nothing
// either.
func TestIssuerChange(t *testing.T) {
	t.Parallel()
	c := harness.StartMixed(t, "chat", 3)
	pods := harness.Must(c.Restarts(t.Context(), 3))(t)
	first := harness.Must(c.ServedCA(t.Context()))(t)
	harness.CreateIssuer(t, c.Namespace, "corp")
	c.StartTraffic(t, 3)
	checkReady := c.WatchReady(t)

	c.Patch(t, `{"tls":{"issuerRef":{"name":"corp"}}}`)
	second := c.AwaitCA(t, 6*time.Minute, first)
	c.Patch(t, `{"tls":{"issuerRef":null}}`)
	third := c.AwaitCA(t, 6*time.Minute, second, c.Name+"-ca")
	c.AwaitReady(t, 3)
	if third == first {
		t.Error("the former private CA is used again")
	}
	checkReady()
	c.CheckTraffic(t, 3)
	c.CheckRestarts(t, 3, pods)
}

// A private CA whose Secret is deleted is replaced by its successor, which loses nothing.
func TestLostCA(t *testing.T) {
	t.Parallel()
	c := harness.StartMixed(t, "chat", 3)
	pods := harness.Must(c.Restarts(t.Context(), 3))(t)
	first := harness.Must(c.ServedCA(t.Context()))(t)
	c.StartTraffic(t, 3)
	checkReady := c.WatchReady(t)
	kubectl.Must(t, "delete", "secret/chat-ca", "-n", c.Namespace)
	c.AwaitCA(t, 6*time.Minute, first, "chat-ca-r2")
	c.AwaitReady(t, 3)
	checkReady()
	c.CheckTraffic(t, 3)
	c.CheckRestarts(t, 3, pods)
}
