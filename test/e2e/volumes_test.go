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
		persistentVolume(t, ns, test.name)
		c := start(t, ns, test.name, 1, "27", test.policy,
			"volumeClaimTemplates:",
			"- metadata: {name: data}",
			fmt.Sprintf("  spec: {accessModes: [ReadWriteOnce], storageClassName: %s-%s, resources: {requests: {storage: 1Mi}}}", ns, test.name))
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

// persistentVolume makes the volume that the one claim of a cluster binds to.
func persistentVolume(t *testing.T, namespace, cluster string) {
	t.Helper()
	name := namespace + "-" + cluster
	if err := apply(t, fmt.Sprintf(`apiVersion: v1
kind: PersistentVolume
metadata: {name: %[1]s}
spec:
  capacity: {storage: 1Mi}
  accessModes: [ReadWriteOnce]
  storageClassName: %[1]s
  persistentVolumeReclaimPolicy: Retain
  hostPath: {path: /tmp/%[1]s, type: DirectoryOrCreate}
`, name)); err != nil {
		t.Fatal(err)
	}
	// The claim holds it until the namespace goes, and that goes last.
	t.Cleanup(func() { mustClean(t, "delete", "persistentvolume", name, "--wait=false") })
}
