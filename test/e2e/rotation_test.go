//go:build e2e

package e2e

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"
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
