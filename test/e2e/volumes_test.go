//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Volumes outlive the cluster, unless the policy says that they go with it.
func TestVolumes(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	for _, test := range []struct {
		name, policy string
		kept         bool
	}{
		{name: "keeps", kept: true},
		{name: "drops", policy: "persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete}"},
	} {
		persistentVolumes(t, ns, test.name, 1)
		c := start(t, ns, test.name, 1, "27", append(claims(ns, test.name), test.policy)...)
		claim := "data-" + c.pod(0)
		if phase := must(t, "get", "pvc", claim, "-n", ns, "-o", "jsonpath={.status.phase}"); phase != "Bound" {
			t.Errorf("claim %s is %q, want Bound", claim, phase)
		}
		must(t, "delete", "erlangcluster", c.name, "-n", ns, "--timeout=60s")
		eventually(t, 90*time.Second, "the pods are gone", func() error {
			if left := c.names("pods,statefulsets"); len(left) > 0 {
				return fmt.Errorf("left: %v", left)
			}
			return nil
		})
		if test.kept {
			must(t, "get", "pvc", claim, "-n", ns)
			continue
		}
		eventually(t, time.Minute, "the claim is gone", func() error {
			if left := must(t, "get", "pvc", "-n", ns, "-o", "name"); strings.Contains(left, claim) {
				return fmt.Errorf("left: %s", left)
			}
			return nil
		})
	}
}

// claims are the lines of a spec that give each member a volume of its own.
func claims(namespace, cluster string) []string {
	return []string{
		"volumeClaimTemplates:",
		"- metadata: {name: data}",
		fmt.Sprintf("  spec: {accessModes: [ReadWriteOnce], storageClassName: %s-%s, resources: {requests: {storage: 1Mi}}}", namespace, cluster),
	}
}

// persistentVolumes makes as many volumes for the claims of a cluster to bind to.
func persistentVolumes(t *testing.T, namespace, cluster string, count int) {
	t.Helper()
	class := namespace + "-" + cluster
	for i := range count {
		name := fmt.Sprintf("%s-%d", class, i)
		if err := apply(t, fmt.Sprintf(`apiVersion: v1
kind: PersistentVolume
metadata: {name: %[1]s}
spec:
  capacity: {storage: 1Mi}
  accessModes: [ReadWriteOnce]
  storageClassName: %[2]s
  persistentVolumeReclaimPolicy: Retain
  hostPath: {path: /tmp/%[1]s, type: DirectoryOrCreate}
`, name, class)); err != nil {
			t.Fatal(err)
		}
		// The claim holds it until the namespace goes, and that goes last.
		t.Cleanup(func() { mustClean(t, "delete", "persistentvolume", name, "--wait=false") })
	}
}
