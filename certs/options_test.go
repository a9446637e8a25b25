package certs_test

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/erlang-operator/erlang-operator/certs"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Every running node has read this text at boot. A change takes effect when a node
// restarts, so nodes with the old and with the new text must be able to connect.
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
