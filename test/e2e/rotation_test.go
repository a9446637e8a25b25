//go:build e2e

package e2e

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
)

func (c cluster) cookie() string {
	c.t.Helper()
	text, err := base64.StdEncoding.DecodeString(must(c.t, "get", "secret", c.name+"-cookie", "-n", c.namespace, "-o", "jsonpath={.data.cookie}"))
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}

// awaitCookie waits until every member is proven to run with another cookie than
// before, and the one before is gone.
func (c cluster) awaitCookie(within time.Duration, before string) {
	c.t.Helper()
	eventually(c.t, within, "the cookie has changed", func() error {
		if keys := must(c.t, "get", "secret", c.name+"-cookie", "-n", c.namespace, "-o", "jsonpath={.data}"); strings.Contains(keys, "previous") {
			return fmt.Errorf("the cookie before is still there")
		}
		if c.cookie() == before {
			return fmt.Errorf("it is still the same")
		}
		return nil
	})
}

// An imported cookie that changes in the user's Secret is followed.
func TestImportedCookieRotation(t *testing.T) {
	t.Parallel()
	ns := mixedNamespace(t)
	must(t, "create", "secret", "generic", "mine", "-n", ns, "--from-literal=cookie=TheFirstCookie")
	c := start(t, ns, "chat", 2, "25", "cookie: {secretKeyRef: {name: mine}}")
	must(t, "patch", "secret", "mine", "-n", ns, "--type=merge", "-p", `{"stringData":{"cookie":"TheSecondCookie"}}`)
	c.awaitCookie(time.Minute, "TheFirstCookie")
	if got := c.cookie(); got != "TheSecondCookie" {
		t.Errorf("the cookie has %d characters, and is not the user's", len(got))
	}
	c.awaitWhole(2)
}

// patchTLS changes spec.tls.
func (c cluster) patchTLS(patch string) {
	c.t.Helper()
	must(c.t, "patch", "erlangcluster", c.name, "-n", c.namespace, "--type=merge", "-p", `{"spec":{"tls":`+patch+`}}`)
}

// serving is which CA each member serves a certificate of, as the probe saw it; all of
// them the same, or an error.
func (c cluster) serving() (string, error) {
	read, err := c.read()
	if err != nil {
		return "", err
	}
	if read.Status.Mesh == nil || len(read.Status.Mesh.Nodes) == 0 {
		return "", fmt.Errorf("the probe has not reported")
	}
	ca := read.Status.Mesh.Nodes[0].CertificateAuthority
	for _, node := range read.Status.Mesh.Nodes {
		if node.CertificateAuthority != ca || ca == "" {
			return "", fmt.Errorf("%s serves a certificate of CA %q, and %s of %q", node.Pod, node.CertificateAuthority, read.Status.Mesh.Nodes[0].Pod, ca)
		}
	}
	return ca, nil
}

// awaitCA waits until every member serves a certificate of another CA than before, and
// that of before is out of the trust bundle and gone, and gives the new one.
func (c cluster) awaitCA(within time.Duration, before string, cas ...string) string {
	c.t.Helper()
	var ca string
	eventually(c.t, within, "the CA has changed", func() error {
		var err error
		if ca, err = c.serving(); err != nil {
			return err
		}
		if ca == before {
			return fmt.Errorf("it is still the same")
		}
		trust := must(c.t, "get", "configmap", c.name+"-distribution", "-n", c.namespace, "-o", `jsonpath={.data.trust\.pem}`)
		if count := strings.Count(trust, "BEGIN CERTIFICATE"); count != 1 {
			return fmt.Errorf("%d CAs are trusted", count)
		}
		var left []string
		for _, name := range strings.Fields(must(c.t, "get", "secrets", "-n", c.namespace, "-o", "jsonpath={.items[*].metadata.name}")) {
			if strings.HasPrefix(name, c.name+"-ca") || strings.Contains(name, "canary") {
				left = append(left, name)
			}
		}
		if !slices.Equal(left, cas) {
			return fmt.Errorf("there are the Secrets %v, want %v", left, cas)
		}
		return nil
	})
	return ca
}

// Every credential changes while the nodes talk, whatever releases they run: nothing
// restarts, no link and no call is lost, the cluster is Ready all the time, and no
// member takes what was before.
func TestRotation(t *testing.T) {
	t.Parallel()
	for _, members := range []int{3, 7} {
		t.Run(fmt.Sprintf("of%d", members), func(t *testing.T) {
			t.Parallel()
			c := startMixed(t, "chat", members)
			pods, first := c.restarts(members), c.identity()
			c.checkAdmits(members, "member", first, v1alpha1.ReasonVerified)
			c.startTraffic(members)
			ready := c.watchReady()

			c.renewLeafs(members)
			c.rotateCA(members, "2026-11")
			c.rotateCookie(members, "2026-11")

			c.awaitWhole(members)
			ready()
			c.checkTraffic(members)
			c.checkRestarts(members, pods)
			c.checkOnlyNowAdmits(members, first)

			// A member that starts later, and one more, have what is there now.
			must(t, "delete", "pod", c.pod(1), "-n", c.namespace, "--wait")
			must(t, "scale", "erlangcluster", c.name, "-n", c.namespace, fmt.Sprintf("--replicas=%d", members+1))
			c.awaitWhole(members + 1)
			if _, err := c.serving(); err != nil {
				t.Error(err)
			}
		})
	}
}

// renewLeafs has the certificate of every member renewed, and waits until each serves
// the new one.
func (c cluster) renewLeafs(members int) {
	c.t.Helper()
	before, err := c.serials()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.forceRenewal(members); err != nil {
		c.t.Fatal(err)
	}
	begun := time.Now()
	c.awaitRenewed(before)
	c.t.Logf("the renewal of %d certificates took %s", members, time.Since(begun).Round(time.Second))
}

// forceRenewal asks cert-manager for new certificates of the first so many members, as
// `cmctl renew` does.
func (c cluster) forceRenewal(members int) error {
	var asked strings.Builder
	for ordinal := range members {
		fmt.Fprintf(&asked, `---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: %s-tls, namespace: %s}
status:
  conditions: [{type: Issuing, status: "True", reason: ManuallyTriggered, message: asked for by a test, lastTransitionTime: %q}]
`, c.pod(ordinal), c.namespace, time.Now().UTC().Format(time.RFC3339))
	}
	_, err := kubectl(c.t.Context(), asked.String(), "apply", "--server-side", "--force-conflicts", "--field-manager=cmctl", "--subresource=status", "-f", "-")
	return err
}

// serials are of the certificates that the members serve, by pod, as the probe saw it.
func (c cluster) serials() (map[string]string, error) {
	read, err := c.read()
	if err != nil {
		return nil, err
	}
	if read.Status.Mesh == nil {
		return nil, fmt.Errorf("the probe has not reported")
	}
	serials := map[string]string{}
	for _, node := range read.Status.Mesh.Nodes {
		serials[node.Pod] = node.CertificateSerial
	}
	return serials, nil
}

// renewed says that every member serves another certificate than before, or which
// does not.
func (c cluster) renewed(before map[string]string) error {
	now, err := c.serials()
	if err != nil {
		return err
	}
	for pod, serial := range before {
		if now[pod] == "" || now[pod] == serial {
			return fmt.Errorf("%s serves certificate %q, as before", pod, now[pod])
		}
	}
	return nil
}

func (c cluster) awaitRenewed(before map[string]string) {
	c.t.Helper()
	eventually(c.t, 2*time.Minute, "every member serves another certificate", func() error { return c.renewed(before) })
}

// rotateCA has the members go over to another private CA, within the three minutes
// that are promised.
func (c cluster) rotateCA(members int, id string) {
	c.t.Helper()
	before, err := c.serving()
	if err != nil {
		c.t.Fatal(err)
	}
	begun := time.Now()
	c.patchTLS(fmt.Sprintf(`{"ca":{"rotationID":%q}}`, id))
	c.awaitCA(3*time.Minute, before, naming.Names{Cluster: c.name}.CA(id))
	c.t.Logf("the rotation of the CA of %d members took %s", members, time.Since(begun).Round(time.Second))
}

// rotateCookie has the members go over to another cookie.
func (c cluster) rotateCookie(members int, id string) {
	c.t.Helper()
	before, begun := c.cookie(), time.Now()
	c.patchCookie(id)
	c.awaitCookie(time.Minute, before)
	c.t.Logf("the rotation of the cookie of %d members took %s", members, time.Since(begun).Round(time.Second))
}

func (c cluster) patchCookie(id string) {
	c.t.Helper()
	must(c.t, "patch", "erlangcluster", c.name, "-n", c.namespace, "--type=merge", "-p", fmt.Sprintf(`{"spec":{"cookie":{"rotationID":%q}}}`, id))
}

// checkOnlyNowAdmits demands that every member refuses the certificate of before, and
// the cookie of before, though all else is as it should be, and takes what is there now.
func (c cluster) checkOnlyNowAdmits(members int, before identity) {
	c.t.Helper()
	now := c.identity()
	c.checkAdmits(members, "now", now, v1alpha1.ReasonVerified)
	old := now
	old.certificate = before.certificate
	c.checkAdmits(members, "old-certificate", old, v1alpha1.ReasonClientCertificateRejected)
	old = now
	old.cookie = before.cookie
	c.checkAdmits(members, "old-cookie", old, v1alpha1.ReasonCookieMismatch)
}

// A private CA gives way to an issuer of the user's, and comes back, in the same way.
func TestIssuerChange(t *testing.T) {
	t.Parallel()
	c := startMixed(t, "chat", 3)
	pods := c.restarts(3)
	first, err := c.serving()
	if err != nil {
		t.Fatal(err)
	}
	if err := apply(t, issuer(c.namespace, "corp")); err != nil {
		t.Fatal(err)
	}
	c.startTraffic(3)
	ready := c.watchReady()

	c.patchTLS(`{"issuerRef":{"name":"corp"}}`)
	second := c.awaitCA(3*time.Minute, first)
	c.patchTLS(`{"issuerRef":null}`)
	third := c.awaitCA(3*time.Minute, second, c.name+"-ca")
	c.awaitWhole(3)
	if third == first {
		t.Error("the private CA that was dropped is back")
	}
	ready()
	c.checkTraffic(3)
	c.checkRestarts(3, pods)
}
