//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// ownedKinds are the kinds of which nothing may be left.
const ownedKinds = "statefulsets,deployments,replicasets,pods,services,configmaps,secrets,serviceaccounts,roles,rolebindings," +
	"networkpolicies,poddisruptionbudgets,certificates,certificaterequests,issuers"

// names lists the objects of a namespace that belong to a cluster, by name.
func (c cluster) names(kinds string) []string {
	c.t.Helper()
	var names []string
	for _, name := range strings.Fields(must(c.t, "get", kinds, "-n", c.namespace, "-o", "name")) {
		_, object, _ := strings.Cut(name, "/")
		if object == c.name || strings.HasPrefix(object, c.name+"-") {
			names = append(names, name)
		}
	}
	return names
}

// Up to five and down to two by the scale subresource: the mesh is whole each time,
// and no certificate or key of a departed member is left.
func TestScale(t *testing.T) {
	t.Parallel()
	c := start(t, namespace(t), "chat", 3, "27")
	for _, replicas := range []int{5, 2} {
		must(t, "scale", "erlangcluster", c.name, "-n", c.namespace, fmt.Sprintf("--replicas=%d", replicas))
		c.awaitWhole(replicas)
		eventually(t, time.Minute, fmt.Sprintf("credentials are those of %d members", replicas), func() error {
			var left []string
			for _, name := range c.names("certificates,secrets,pods,certificaterequests") {
				for departed := replicas; departed < 5; departed++ {
					if strings.Contains(name, "/"+c.pod(departed)) {
						left = append(left, name)
					}
				}
			}
			if len(left) > 0 {
				return fmt.Errorf("left: %v", left)
			}
			return nil
		})
		for ordinal := range replicas {
			if got := len(c.peers(ordinal)); got != replicas-1 {
				t.Errorf("%s has %d peers, want %d", c.pod(ordinal), got, replicas-1)
			}
		}
	}
}

// Deleting the cluster leaves nothing but the volumes, which go by policy.
func TestDelete(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	must(t, "create", "secret", "generic", "mine", "-n", ns, "--from-literal=cookie=AnImportedCookie123")
	for _, test := range []struct {
		name  string
		extra []string
	}{{name: "chat"}, {name: "imported", extra: []string{"cookie: {secretKeyRef: {name: mine}}"}}} {
		c := start(t, ns, test.name, 2, "27", test.extra...)
		must(t, "delete", "erlangcluster", c.name, "-n", ns, "--timeout=60s")
		eventually(t, 90*time.Second, "nothing is left of "+c.name, func() error {
			if left := c.names(ownedKinds); len(left) > 0 {
				return fmt.Errorf("left: %v", left)
			}
			return nil
		})
	}
	if got := must(t, "get", "secret", "mine", "-n", ns, "-o", "jsonpath={.data.cookie}"); got == "" {
		t.Error("the user's own Secret is gone")
	}
}

// Several clusters that go at once leave no key behind: cert-manager would make a
// Secret again as long as its Certificate is there.
func TestDeleteMany(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	var clusters []cluster
	for i := range 4 {
		c := cluster{t, ns, fmt.Sprintf("chat%d", i)}
		if err := apply(t, manifest(ns, c.name, 2, "27")); err != nil {
			t.Fatal(err)
		}
		clusters = append(clusters, c)
	}
	for _, c := range clusters {
		c.awaitWhole(2)
	}
	must(t, "delete", "erlangclusters", "--all", "-n", ns, "--timeout=60s")
	settled := time.Time{}
	eventually(t, 2*time.Minute, "nothing is left, and nothing comes back", func() error {
		for _, c := range clusters {
			if left := c.names(ownedKinds); len(left) > 0 {
				settled = time.Time{}
				return fmt.Errorf("left: %v", left)
			}
		}
		if settled.IsZero() {
			settled = time.Now()
		}
		if gone := time.Since(settled); gone < 10*time.Second {
			return fmt.Errorf("gone for %s only", gone)
		}
		return nil
	})
}

// A pod that dies comes back into the mesh by itself, with the same name.
func TestMemberDies(t *testing.T) {
	t.Parallel()
	c := start(t, namespace(t), "chat", 3, "27")
	before := c.podUID(2)
	must(t, "delete", "pod", c.pod(2), "-n", c.namespace)
	eventually(t, time.Minute, "the pod is a new one", func() error {
		if c.podUID(2) == before {
			return fmt.Errorf("still the old one")
		}
		return nil
	})
	c.awaitWhole(3)
}

// A change of the template rolls the pods one after the other, each only when the
// one before has joined.
func TestRollout(t *testing.T) {
	t.Parallel()
	c := start(t, namespace(t), "chat", 3, "25")
	if err := apply(t, manifest(c.namespace, c.name, 3, "27")); err != nil {
		t.Fatal(err)
	}
	eventually(t, 3*time.Minute, "every node runs OTP 27", func() error {
		read, err := c.read()
		if err != nil {
			return err
		}
		for _, node := range read.Status.Mesh.Nodes {
			if node.OTPRelease != "27" {
				return fmt.Errorf("%s runs OTP %s", node.Pod, node.OTPRelease)
			}
		}
		return nil
	})
	c.awaitWhole(3)
}

// The manager may die at any moment of the creation.
func TestManagerKilled(t *testing.T) {
	ns := namespace(t)
	if err := apply(t, manifest(ns, "chat", 3, "27")); err != nil {
		t.Fatal(err)
	}
	for range 6 {
		must(t, "delete", "pod", "-n", "erlang-operator-system", "-l", "app.kubernetes.io/component=manager", "--grace-period=0", "--force", "--wait=false")
		time.Sleep(2 * time.Second) // the moments of death are spread over the creation
	}
	cluster{t, ns, "chat"}.awaitWhole(3)
}
