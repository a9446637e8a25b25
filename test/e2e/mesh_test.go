//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// The promise itself, on every release and both ways of discovery: each node names
// all the others, over TLS 1.3 with a peer certificate.
func TestMesh(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, otp string
		extra     []string
	}{
		{name: "otp25", otp: "25"},
		{name: "otp27", otp: "27"},
		{name: "otp29", otp: "29"},
		{name: "fixedport", otp: "27", extra: []string{"distribution: {discovery: FixedPort, ports: {min: 4370, max: 4370}}"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := start(t, namespace(t), "chat", 3, test.otp, test.extra...)
			for ordinal := range 3 {
				var others []string
				for other := range 3 {
					if other != ordinal {
						others = append(others, c.node(other))
					}
				}
				if diff := cmp.Diff(others, c.peers(ordinal)); diff != "" {
					t.Errorf("nodes() of %s (-want +got):\n%s", c.pod(ordinal), diff)
				}
				if got := c.eval(ordinal, "erlang:system_info(otp_release)"); got != `"`+test.otp+`"` {
					t.Errorf("OTP release %s, want %q", got, test.otp)
				}
				c.checkLinksAreTLS(ordinal)
			}
		})
	}
}

// checkLinksAreTLS asks the node what controls its links, and every TLS connection
// of its distribution for its version and for the certificate of the peer.
func (c cluster) checkLinksAreTLS(ordinal int) {
	c.t.Helper()
	const controllers = `lists:usort([proc_lib:translate_initial_call(P) || {N, P} <- erlang:system_info(dist_ctrl), lists:member(N, nodes())])`
	if got, want := c.eval(ordinal, controllers), "[{tls_sender,init,1}]"; got != want {
		c.t.Errorf("%s: links are controlled by %s, want %s", c.pod(ordinal), got, want)
	}
	const connections = `lists:usort([begin
		{ok, I} = gen_statem:call(P, {connection_information, false}),
		{ok, Certificate} = gen_statem:call(P, peer_certificate),
		{proplists:get_value(protocol, I), is_binary(Certificate)} end
		|| P <- processes(), proc_lib:translate_initial_call(P) =:= {ssl_gen_statem, init, 1}])`
	if got, want := c.eval(ordinal, connections), "[{'tlsv1.3',true}]"; got != want {
		c.t.Errorf("%s: connections are %s, want %s", c.pod(ordinal), got, want)
	}
}

// A node whose cookie is replaced behind everybody's back is found, named, and kept
// out; when it is put back the mesh is whole again by itself.
func TestCookieMismatch(t *testing.T) {
	t.Parallel()
	c := start(t, namespace(t), "chat", 3, "27")
	original := strings.Trim(c.eval(1, "erlang:get_cookie()"), "'")

	c.eval(1, `erlang:set_cookie(node(), 'another'), [erlang:disconnect_node(N) || N <- nodes()]`)
	ready := c.awaitCondition(30*time.Second, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonCookieMismatch)
	for _, want := range []string{"chat-1", "cookie"} {
		if !strings.Contains(ready.Message, want) {
			t.Errorf("the message does not say %q: %s", want, ready.Message)
		}
	}
	if strings.Contains(ready.Message, original) {
		t.Error("the message holds the cookie")
	}
	t.Logf("Ready: %s", ready.Message)

	c.eval(1, fmt.Sprintf(`erlang:set_cookie(node(), '%s')`, original), "another")
	c.awaitWhole(3)
}

// Clusters that share a namespace, or a name, have nothing to do with each other.
func TestIsolation(t *testing.T) {
	t.Parallel()
	here, there := namespace(t), namespace(t)
	for _, c := range []struct{ namespace, name string }{{here, "chat"}, {here, "pay"}, {there, "chat"}} {
		if err := apply(t, manifest(c.namespace, c.name, 2, "27")); err != nil {
			t.Fatal(err)
		}
	}
	clusters := []cluster{{t, here, "chat"}, {t, here, "pay"}, {t, there, "chat"}}
	for _, c := range clusters {
		c.awaitWhole(2)
	}
	for _, c := range clusters {
		for _, other := range clusters {
			if c == other {
				continue
			}
			if got := c.eval(0, fmt.Sprintf("net_kernel:connect_node('%s')", other.node(0))); got != "false" {
				t.Errorf("%s/%s connected to %s/%s: %s", c.namespace, c.name, other.namespace, other.name, got)
			}
		}
		if diff := cmp.Diff([]string{c.node(1)}, c.peers(0)); diff != "" {
			t.Errorf("nodes() of %s/%s (-want +got):\n%s", c.namespace, c.pod(0), diff)
		}
	}
}
