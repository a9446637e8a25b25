//go:build e2e

package e2e

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A settled cluster costs nothing: for five minutes no object changes, but for the
// probe's heartbeat in the status, once a minute at most.
func TestQuiet(t *testing.T) {
	t.Parallel()
	c := start(t, namespace(t), "chat", 3, "27")
	versions := func() map[string]string {
		var list struct {
			Items []struct {
				Kind     string
				Metadata struct{ Name, ResourceVersion string }
			}
		}
		if err := get(t, &list, ownedKinds, "-n", c.namespace); err != nil {
			t.Fatal(err)
		}
		seen := map[string]string{}
		for _, item := range list.Items {
			seen[item.Kind+"/"+item.Metadata.Name] = item.Metadata.ResourceVersion
		}
		return seen
	}
	// The controllers of Kubernetes take note of what has become ready after us.
	before := map[string]string{}
	eventually(t, time.Minute, "the cluster has settled", func() error {
		last := before
		time.Sleep(10 * time.Second) // that long nothing may change
		before = versions()
		if diff := cmp.Diff(last, before); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
	if len(before) < 20 {
		t.Fatalf("saw %d objects only: %v", len(before), before)
	}
	const watched = 5 * time.Minute
	heartbeats := map[string]bool{}
	for end := time.Now().Add(watched); time.Now().Before(end); time.Sleep(5 * time.Second) {
		read, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		heartbeats[read.ResourceVersion] = true
	}
	if diff := cmp.Diff(before, versions()); diff != "" {
		t.Errorf("changed within %s (-before +after):\n%s", watched, diff)
	}
	// The first version seen, and one for each full minute; the sweep's own time may
	// add none.
	if most := int(watched/time.Minute) + 1; len(heartbeats) > most {
		t.Errorf("the status was written %d times, want %d at most", len(heartbeats)-1, most-1)
	}
}
