//go:build erlang

package erlang

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// podEnvironment are the variables of a container whose image starts the BEAM, with
// runtime Erl, as the manager sets them and a kubelet expands them.
func podEnvironment(node, discovery string) []string {
	ports := "-kernel inet_dist_listen_min 9100 inet_dist_listen_max 9109"
	if discovery == "FixedPort" {
		ports = "-start_epmd false -erl_epmd_port 9100"
	}
	shared := "-proto_dist inet_tls -ssl_dist_optfile " + naming.OptionsFile +
		" -nocookie -setcookie " + node + " -args_file " + naming.CookieFile + " " + ports
	_, host, _ := strings.Cut(node, "@")
	pod, _, _ := strings.Cut(host, ".")
	return []string{
		"ERLANG_OPERATOR_POD=" + pod,
		"ERLANG_NODE=" + node,
		"ERLANG_OPERATOR_SHARED_FLAGS=" + shared,
		"ERLANG_OPERATOR_NODE_FLAGS=-name " + node,
		"ERL_ZFLAGS=-name " + node + " " + shared,
	}
}

// podFiles are the files that the manager has mounted in such a container.
func podFiles(t testing.TB, identity beam.Identity, trust []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{
		"tls/" + naming.CombinedKey:         slices.Concat(identity.KeyPEM, identity.CertPEM),
		"distribution/" + naming.TrustKey:   trust,
		"distribution/" + naming.OptionsKey: []byte(certs.Options()),
		"cookie/" + naming.CookieKey:        []byte(cookie),
	}
	for _, program := range []string{"node", "visitor", "shell"} {
		source, err := os.ReadFile(filepath.Join("..", "..", "controllers", "internal", "beam", "programs", program))
		if err != nil {
			t.Fatal(err)
		}
		files["bin/"+program] = source
	}
	return files
}
