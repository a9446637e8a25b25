//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
	"github.com/erlang-operator/erlang-operator/test/journal"
)

// Scaled to five and to two by the scale subresource, the cluster is one mesh again, and
// no certificate or key of a removed member is left. The members that stay keep their links to each
// other, and those that go close theirs.
func TestScale(t *testing.T) {
	t.Parallel()
	c := startJournal(t, 3, "27")
	followed := c.Follow(t, 5)
	c.AwaitReady(t, 3)
	for _, replicas := range []int{5, 2} {
		c.Scale(t, replicas)
		c.AwaitReady(t, replicas)
		await.Until(t, 3*time.Minute, fmt.Sprintf("credentials are those of %d members", replicas), func(ctx context.Context) error {
			objects, err := c.Objects(ctx, "certificates,secrets,pods,certificaterequests")
			for _, name := range objects {
				for removed := replicas; removed < 5; removed++ {
					if strings.Contains(name, "/"+c.Pod(removed)) {
						return fmt.Errorf("left: %s", name)
					}
				}
			}
			return err
		})
		for ordinal := range replicas {
			if got := len(harness.Must(c.Peers(t.Context(), ordinal))(t)); got != replicas-1 {
				t.Errorf("%s has %d peers, want %d", c.Pod(ordinal), got, replicas-1)
			}
		}
	}
	events := followed.EndWhole(t, 2)
	journal.Check(t, events, 5, 2)
	for removed := 2; removed < 5; removed++ {
		reasons := journal.Reasons(events, removed)
		t.Logf("links to %s went down: %v", c.Pod(removed), reasons)
		if len(reasons) != 1 || reasons["shutdown"] == 0 {
			t.Errorf("links to %s went down for these reasons: %v, want shutdown, by which a node closes its links", c.Pod(removed), reasons)
		}
	}
}

// A deleted cluster leaves no object of its own; the user's Secret stays.
func TestDelete(t *testing.T) {
	t.Parallel()
	ns := harness.Namespace(t)
	kubectl.Must(t, "create", "secret", "generic", "mine", "-n", ns, "--from-literal=cookie=AnImportedCookie123")
	for name, extra := range map[string][]string{"chat": nil, "imported": {"cookie: {secretKeyRef: {name: mine}}"}} {
		c := harness.Start(t, ns, name, 2, "27", extra...)
		kubectl.Must(t, "delete", "erlangcluster", c.Name, "-n", ns, "--timeout=3m")
		await.Until(t, 4*time.Minute, "nothing is left of "+c.Name, func(ctx context.Context) error {
			return c.NothingLeft(ctx, harness.OwnedKinds)
		})
	}
	if got := kubectl.Must(t, "get", "secret", "mine", "-n", ns, "-o", "jsonpath={.data.cookie}"); got == "" {
		t.Error("the user's own Secret is gone")
	}
}

// Several clusters deleted at once leave no key: cert-manager creates a Secret again as
// long as its Certificate exists.
func TestDeleteMany(t *testing.T) {
	t.Parallel()
	ns := harness.Namespace(t)
	var clusters []harness.Cluster
	for i := range 4 {
		c := harness.Cluster{Namespace: ns, Name: fmt.Sprintf("chat%d", i)}
		kubectl.MustApply(t, harness.Manifest(ns, c.Name, 2, "27"))
		clusters = append(clusters, c)
	}
	for _, c := range clusters {
		c.AwaitReady(t, 2)
	}
	kubectl.Must(t, "delete", "erlangclusters", "--all", "-n", ns, "--timeout=3m")
	var since time.Time
	await.Until(t, 4*time.Minute, "nothing is left, and nothing comes back", func(ctx context.Context) error {
		for _, c := range clusters {
			if err := c.NothingLeft(ctx, harness.OwnedKinds); err != nil {
				since = time.Time{}
				return err
			}
		}
		if since.IsZero() {
			since = time.Now()
		}
		if gone := time.Since(since); gone < 10*time.Second {
			return fmt.Errorf("nothing is left since %s only", gone)
		}
		return nil
	})
}

// returnWithin is the time in which a member that died is linked to all others again, from when its
// pod is reported to run. It includes most of the start of the node.
const returnWithin, returnWithinOnBusyMachine = time.Second, time.Minute

// A member comes back into the mesh with the same name, after its pod was deleted and after its
// BEAM was killed. In a soak it does so within the time of an idle machine, many times.
func TestMemberDies(t *testing.T) {
	limit, times := returnWithinOnBusyMachine, 1
	if *soak > 0 {
		limit, times = returnWithin, 10
	} else {
		t.Parallel()
	}
	c := startJournal(t, 3, "27")
	followed, runs := c.Follow(t, 3), c.WatchRuns(t)
	c.AwaitReady(t, 3)
	for range times {
		// A container that ends again and again is restarted ever later, but for one of another pod.
		for _, fault := range []struct {
			what string
			die  func()
		}{
			{"its pod was deleted", func() { kubectl.Must(t, "delete", "pod", c.Pod(2), "-n", c.Namespace) }},
			{"its BEAM was killed", func() { c.KillNode(t, 2) }},
		} {
			died := time.Now()
			fault.die()
			back, run := awaitReturn(t, followed, runs, c.Pod(2), died)
			t.Logf("after %s, %s is back in the mesh %s after its pod runs, %s after it died", fault.what, c.Pod(2),
				back.Sub(run).Round(time.Millisecond), back.Sub(died).Round(time.Millisecond))
			if took := back.Sub(run); took > limit {
				t.Errorf("after %s, %s is back in the mesh %s after its pod runs, want %s", fault.what, c.Pod(2), took, limit)
			}
			c.AwaitReady(t, 3)
		}
	}
}

// awaitReturn waits until three members are linked again, and returns since when they are, and since
// when the pod of the one that died runs.
func awaitReturn(t *testing.T, followed *harness.Journal, runs *harness.Runs, pod string, died time.Time) (back, run time.Time) {
	t.Helper()
	await.Until(t, 3*time.Minute, pod+" is back in the mesh", func(context.Context) (err error) {
		if run, err = runs.After(pod, died); err != nil {
			return err
		}
		if over := journal.Over(followed.Events(), 3); len(over) > 0 {
			back = over[len(over)-1].At
			if over[len(over)-1].Members == 3 && back.After(died) {
				return nil
			}
		}
		return errors.New("the members are not all linked")
	})
	return back, run
}

// A change of the template replaces all pods, and the mesh is whole when the commands of
// docs/install.md return. They wait for the end of a rotation, too.
func TestRollout(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Namespace(t), "chat", 3, "25")
	applyAndWait(t, c, harness.Manifest(c.Namespace, c.Name, 3, "27"))
	read := harness.Must(c.Read(t.Context()))(t)
	if read.Status.Nodes != "3/3" || read.Status.Links != "3/3" {
		t.Errorf("the commands returned with NODES %s LINKS %s", read.Status.Nodes, read.Status.Links)
	}
	for _, node := range read.Status.Mesh.Nodes {
		if node.OTPRelease != "27" {
			t.Errorf("the commands returned while %s ran OTP %s", node.Pod, node.OTPRelease)
		}
	}
	before := harness.Must(c.Cookie(t.Context()))(t)
	applyAndWait(t, c, harness.Manifest(c.Namespace, c.Name, 3, "27", "cookie: {rotationID: next}"))
	read = harness.Must(c.Read(t.Context()))(t)
	if after := harness.Must(c.Cookie(t.Context()))(t); after == before || len(read.Status.Rotation) > 0 {
		t.Errorf("the commands returned during the rotation: %+v", read.Status.Rotation)
	}
}

// applyAndWait runs the commands of docs/install.md that apply a manifest and wait until
// the change is complete.
func applyAndWait(t *testing.T, c harness.Cluster, manifest string) {
	t.Helper()
	guide := harness.Must(os.ReadFile("../../docs/install.md"))(t)
	_, commands, found := strings.Cut(string(guide), "\n```sh\nkubectl apply -f chat.yaml\n")
	if !found {
		t.Fatal("docs/install.md has no commands that apply a change and wait")
	}
	commands, _, _ = strings.Cut(commands, "\n```\n")
	commands = strings.ReplaceAll(commands, "erlangcluster/chat", "-n "+c.Namespace+" erlangcluster/"+c.Name)
	kubectl.MustApply(t, manifest)
	if out, err := exec.CommandContext(t.Context(), "sh", "-ec", commands).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", commands, err, out)
	}
}

// The manager is killed six times while it creates a cluster.
func TestManagerKilled(t *testing.T) {
	c := harness.Cluster{Namespace: harness.Namespace(t), Name: "chat"}
	kubectl.MustApply(t, harness.Manifest(c.Namespace, c.Name, 3, "27"))
	for range 6 {
		kubectl.Must(t, "delete", "pod", "-n", "erlang-operator-system", "-l", "app.kubernetes.io/component=manager", "--grace-period=0", "--force", "--wait=false")
		time.Sleep(2 * time.Second) // The kills are spread over the creation.
	}
	c.AwaitReady(t, 3)
}
