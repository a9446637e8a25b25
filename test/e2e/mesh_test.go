//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// On every release, and both ways of discovery, each node is linked to all the others,
// over TLS 1.3 with a peer certificate.
func TestMesh(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		otp   string
		extra []string
	}{
		"otp25":     {otp: "25"},
		"otp27":     {otp: "27"},
		"otp29":     {otp: "29"},
		"fixedport": {otp: "27", extra: []string{"distribution: {discovery: FixedPort, ports: {min: 4370, max: 4370}}"}},
		"ipv6otp25": {otp: "25", extra: []string{"distribution: {ipFamily: IPv6}"}},
		"ipv6fixed": {otp: "27", extra: []string{"distribution: {ipFamily: IPv6, discovery: FixedPort}"}},
		"ipv6otp29": {otp: "29", extra: []string{"distribution: {ipFamily: IPv6}"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if strings.HasPrefix(name, "ipv6") && !harness.HasIPv6(t) {
				t.Skip("this Kubernetes has no IPv6 addresses: start it with IPV6=1")
			}
			c := harness.Start(t, harness.Namespace(t), "chat", 3, test.otp, test.extra...)
			for ordinal := range 3 {
				var others []string
				for other := range 3 {
					if other != ordinal {
						others = append(others, c.Node(other))
					}
				}
				if diff := cmp.Diff(others, harness.Must(c.Peers(t.Context(), ordinal))(t)); diff != "" {
					t.Errorf("nodes() of %s (-want +got):\n%s", c.Pod(ordinal), diff)
				}
				for expression, want := range map[string]string{
					"erlang:system_info(otp_release)": `"` + test.otp + `"`,
					linkControllers:                   "[{tls_sender,init,1}]",
					connections:                       "[{'tlsv1.3',true}]",
				} {
					if got := harness.Must(c.Eval(t.Context(), ordinal, expression))(t); got != want {
						t.Errorf("%s: %s is %s, want %s", c.Pod(ordinal), expression, got, want)
					}
				}
			}
		})
	}
}

// linkControllers are the kinds of process that control the links of a node. connections
// are the TLS versions of its distribution, and whether there is a peer certificate. A connection
// may end before it is asked: those of visitors and the probe come and go.
const (
	linkControllers = `lists:usort([proc_lib:translate_initial_call(P) || {N, P} <- erlang:system_info(dist_ctrl), lists:member(N, nodes())])`
	connections     = `lists:usort([{proplists:get_value(protocol, I), is_binary(Certificate)}
		|| P <- processes(), proc_lib:translate_initial_call(P) =:= {ssl_gen_statem, init, 1},
		{ok, I} <- [catch gen_statem:call(P, {connection_information, false})],
		{ok, Certificate} <- [catch gen_statem:call(P, peer_certificate)]])`
)

// A node whose cookie is changed by hand is reported and kept out of the mesh. When the
// cookie is set back, it is linked again.
func TestCookieMismatch(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Namespace(t), "chat", 3, "27")
	original := harness.Must(c.Cookie(t.Context()))(t)

	harness.Must(c.Eval(t.Context(), 1, `erlang:set_cookie(node(), 'another'), [erlang:disconnect_node(N) || N <- nodes()]`))(t)
	notReady(t, c, patience*noticedNode, v1alpha1.ReasonCookieMismatch, "chat-1")
	ready := c.AwaitCondition(t, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonCookieMismatch, "chat-1", "cookie")
	if strings.Contains(ready.Message, original) {
		t.Error("the message contains the cookie")
	}

	harness.Must(c.Eval(t.Context(), 1, fmt.Sprintf(`erlang:set_cookie(node(), '%s')`, original), "another"))(t)
	c.AwaitReady(t, 3)
}

// Clusters in one namespace, or of one name, are never linked.
func TestIsolation(t *testing.T) {
	t.Parallel()
	here, there := harness.Namespace(t), harness.Namespace(t)
	clusters := []harness.Cluster{{Namespace: here, Name: "chat"}, {Namespace: here, Name: "pay"}, {Namespace: there, Name: "chat"}}
	for _, c := range clusters {
		kubectl.MustApply(t, harness.Manifest(c.Namespace, c.Name, 2, "27"))
	}
	for _, c := range clusters {
		c.AwaitReady(t, 2)
	}
	for _, c := range clusters {
		for _, other := range clusters {
			if c == other {
				continue
			}
			connect := fmt.Sprintf("net_kernel:connect_node('%s')", other.Node(0))
			if got := harness.Must(c.Eval(t.Context(), 0, connect))(t); got != "false" {
				t.Errorf("%s/%s connected to %s/%s: %s", c.Namespace, c.Name, other.Namespace, other.Name, got)
			}
		}
		if diff := cmp.Diff([]string{c.Node(1)}, harness.Must(c.Peers(t.Context(), 0))(t)); diff != "" {
			t.Errorf("nodes() of %s/%s (-want +got):\n%s", c.Namespace, c.Pod(0), diff)
		}
	}
}
