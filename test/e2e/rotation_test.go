//go:build e2e

package e2e

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
)

// startTraffic has every member call every other one all the time, and count what it
// lost: calls that failed, and links that went down.
func (c cluster) startTraffic(members int) {
	c.t.Helper()
	for ordinal := range members {
		c.eval(ordinal, `register(traffic, spawn(fun() ->
			net_kernel:monitor_nodes(true),
			Peers = nodes(),
			Loop = fun Loop(Calls, Lost, Down) ->
				receive
					{ask, From} -> From ! {traffic, Calls, Lost, Down}, Loop(Calls, Lost, Down);
					{nodedown, _} -> Loop(Calls, Lost, Down + 1);
					{nodeup, _} -> Loop(Calls, Lost, Down)
				after 20 ->
					Failed = [N || N <- Peers, rpc:call(N, erlang, node, [], 5000) =/= N],
					Loop(Calls + length(Peers), Lost + length(Failed), Down)
				end
			end,
			Loop(0, 0, 0)
		end))`)
	}
}

// checkTraffic demands that there was traffic, and that nothing of it was lost. The
// cookie is the members', where it is not the one that they started with.
func (c cluster) checkTraffic(members int, cookie ...string) {
	c.t.Helper()
	for ordinal := range members {
		var calls, lost, down int
		answer := c.eval(ordinal, `begin traffic ! {ask, self()}, receive {traffic, Calls, Lost, Down} -> {Calls, Lost, Down} after 9000 -> timeout end end`, cookie...)
		if _, err := fmt.Sscanf(answer, "{%d,%d,%d}", &calls, &lost, &down); err != nil {
			c.t.Fatalf("traffic of %s: %s", c.pod(ordinal), answer)
		}
		if calls < 10 || lost > 0 || down > 0 {
			c.t.Errorf("%s: of %d calls %d were lost, and %d links went down", c.pod(ordinal), calls, lost, down)
		}
	}
}

// restarts are the pods' UIDs, and how often their containers were restarted.
func (c cluster) restarts() string {
	c.t.Helper()
	return must(c.t, "get", "pods", "-n", c.namespace, "-l", "erlang-operator.dev/component=node",
		"-o", "jsonpath={range .items[*]}{.metadata.uid} {.status.containerStatuses[*].restartCount}{\"\\n\"}{end}")
}

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
func (c cluster) awaitCookie(before string) {
	c.t.Helper()
	eventually(c.t, time.Minute, "the cookie has changed", func() error {
		if keys := must(c.t, "get", "secret", c.name+"-cookie", "-n", c.namespace, "-o", "jsonpath={.data}"); strings.Contains(keys, "previous") {
			return fmt.Errorf("the cookie before is still there")
		}
		if c.cookie() == before {
			return fmt.Errorf("it is still the same")
		}
		return nil
	})
}

// A cookie changes while the nodes talk: nothing restarts, no link is lost, and every
// member refuses the one before.
func TestCookieRotation(t *testing.T) {
	t.Parallel()
	c := start(t, namespace(t), "chat", 3, "27")
	pods, first := c.restarts(), c.cookie()
	c.startTraffic(3)

	must(t, "patch", "erlangcluster", c.name, "-n", c.namespace, "--type=merge", "-p", `{"spec":{"cookie":{"rotationID":"2026-11"}}}`)
	c.awaitCookie(first)
	c.awaitWhole(3)
	second := c.cookie()
	for ordinal := range 3 {
		// The shell's environment has the cookie that the pod started with.
		if got := c.eval(ordinal, "erlang:get_cookie()", second); got != "'"+second+"'" && got != second {
			t.Errorf("%s does not run with the new cookie", c.pod(ordinal))
		}
		if out := c.tryEval(ordinal, "node()", first); !strings.Contains(out, "nodedown") {
			t.Errorf("%s lets the cookie before in: %s", c.pod(ordinal), out)
		}
	}
	c.checkTraffic(3, second)
	if now := c.restarts(); now != pods {
		t.Errorf("pods were restarted:\n%s\nwas\n%s", now, pods)
	}

	// A member that starts later has the new cookie.
	must(t, "delete", "pod", c.pod(1), "-n", c.namespace, "--wait")
	c.awaitWhole(3)
}

// An imported cookie that changes in the user's Secret is followed.
func TestImportedCookieRotation(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	must(t, "create", "secret", "generic", "mine", "-n", ns, "--from-literal=cookie=TheFirstCookie")
	c := start(t, ns, "chat", 2, "25", "cookie: {secretKeyRef: {name: mine}}")
	must(t, "patch", "secret", "mine", "-n", ns, "--type=merge", "-p", `{"stringData":{"cookie":"TheSecondCookie"}}`)
	c.awaitCookie("TheFirstCookie")
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

// watchReady writes down whenever a cluster is not Ready, until it is stopped.
func (c cluster) watchReady() (stop func() []string) {
	var lapses []string
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if ready, err := c.condition(v1alpha1.ConditionReady); err == nil && ready.Status != metav1.ConditionTrue {
				lapses = append(lapses, fmt.Sprintf("%s: %s", ready.Reason, ready.Message))
			}
			select {
			case <-done:
				return
			case <-time.After(500 * time.Millisecond): // A sample: what lasts longer is seen.
			}
		}
	}()
	return func() []string {
		close(done)
		<-ended
		return lapses
	}
}

// The CA changes while the nodes talk: nothing restarts, no link is lost, the cluster is
// Ready all the time, and no member accepts the CA before.
func TestCARotation(t *testing.T) {
	t.Parallel()
	c := start(t, namespace(t), "chat", 3, "27")
	pods := c.restarts()
	first, err := c.serving()
	if err != nil {
		t.Fatal(err)
	}
	c.startTraffic(3)
	ready := c.watchReady()

	begun := time.Now()
	c.patchTLS(`{"ca":{"rotationID":"2026-11"}}`)
	second := c.awaitCA(3*time.Minute, first, certs.Names{Cluster: c.name}.CA("2026-11"))
	t.Logf("the rotation took %s, from CA %s to %s", time.Since(begun).Round(time.Second), first, second)
	c.awaitWhole(3)
	for _, lapse := range ready() {
		t.Errorf("not Ready on the way: %s", lapse)
	}
	c.checkTraffic(3)
	if now := c.restarts(); now != pods {
		t.Errorf("pods were restarted:\n%s\nwas\n%s", now, pods)
	}

	// A member that starts later, and one more, have certificates of the new CA.
	must(t, "delete", "pod", c.pod(1), "-n", c.namespace, "--wait")
	must(t, "scale", "erlangcluster", c.name, "-n", c.namespace, "--replicas=4")
	c.awaitWhole(4)
	if ca, err := c.serving(); err != nil || ca != second {
		t.Errorf("they serve certificates of CA %s, want %s: %v", ca, second, err)
	}
}

// A private CA gives way to an issuer of the user's, and comes back, in the same way.
func TestIssuerChange(t *testing.T) {
	t.Parallel()
	c := start(t, namespace(t), "chat", 3, "27")
	pods := c.restarts()
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
	for _, lapse := range ready() {
		t.Errorf("not Ready on the way: %s", lapse)
	}
	c.checkTraffic(3)
	if now := c.restarts(); now != pods {
		t.Errorf("pods were restarted:\n%s\nwas\n%s", now, pods)
	}
}

// A certificate that is renewed is served soon after, with nothing lost.
func TestRenewal(t *testing.T) {
	t.Parallel()
	c := start(t, namespace(t), "chat", 3, "27")
	pods := c.restarts()
	c.startTraffic(3)
	serials := func() []string {
		read, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, node := range read.Status.Mesh.Nodes {
			all = append(all, node.CertificateSerial)
		}
		return all
	}
	before := serials()
	must(t, "delete", "secret", c.pod(0)+"-tls", c.pod(1)+"-tls", c.pod(2)+"-tls", "-n", c.namespace)
	begun := time.Now()
	eventually(t, 3*time.Minute, "every member serves another certificate", func() error {
		for i, serial := range serials() {
			if serial == "" || serial == before[i] {
				return fmt.Errorf("%s serves %q, as before", c.pod(i), serial)
			}
		}
		return nil
	})
	t.Logf("it took %s", time.Since(begun).Round(time.Second))
	c.awaitWhole(3)
	c.checkTraffic(3)
	if now := c.restarts(); now != pods {
		t.Errorf("pods were restarted:\n%s\nwas\n%s", now, pods)
	}
}
