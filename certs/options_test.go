package certs_test

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/erlang-operator/erlang-operator/certs"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Every running node has read this text at its boot. A change of it reaches a node
// only when that restarts, so nodes of before and after must understand each other.
func TestOptionsAreAsReleased(t *testing.T) {
	const golden = "testdata/inet_tls.conf"
	if *update {
		if err := os.WriteFile(golden, []byte(certs.Options()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), certs.Options()); diff != "" {
		t.Errorf("-ssl_dist_optfile changed (-want +got):\n%s", diff)
	}
}
