package certs

import (
	"fmt"

	"github.com/erlang-operator/erlang-operator/certs/naming"
)

// Options returns the content of the -ssl_dist_optfile: one Erlang expression, which the
// node evaluates (ssl_dist_sup). It allows only TLS 1.3, both sides verify each other,
// and the client checks the server's name as HTTPS does.
//
// It takes ERL_ZFLAGS out of the environment of the node, before any application starts:
// a BEAM that the node starts would otherwise begin with the flags of the node.
//
// fail_if_no_peer_cert is an option of the server only: as a client option, OTP 26 and
// later refuse to connect, without an error message. There is no keyfile, because
// certfile also contains the key: the node never pairs an old certificate with a new
// key.
func Options() string {
	return fmt.Sprintf(`begin os:unsetenv("ERL_ZFLAGS"),
[{server, [{certfile, %[1]q},
           {cacertfile, %[2]q},
           {verify, verify_peer},
           {fail_if_no_peer_cert, true},
           {versions, ['tlsv1.3']}]},
 {client, [{certfile, %[1]q},
           {cacertfile, %[2]q},
           {verify, verify_peer},
           {versions, ['tlsv1.3']},
           {customize_hostname_check,
            [{match_fun, public_key:pkix_verify_hostname_match_fun(https)}]}]}]
end.
`, naming.TLSDir+"/"+naming.CombinedKey, naming.DistributionDir+"/"+naming.TrustKey)
}
