//go:build erlang

package probe

import (
	"fmt"
	"strings"
	"testing"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// An image that names its node otherwise, or that is no image for spec.runtime, is told with
// what to change.
func TestMisfits(t *testing.T) {
	const releasedBy = "rel/env.sh.eex"
	for name, misfit := range map[string]struct {
		runtime v1alpha1.Runtime
		image   []string // flags of the image, where $ADDRESS and $NODE are the pod's
		named   bool     // the operator's flags name the node
		env     string
		reason  string
		says    []string
	}{
		"env.sh sets RELEASE_NODE by the address":        {v1alpha1.RuntimeMix, []string{"-name", "app@$ADDRESS"}, false, "RELEASE_COMMAND=start", v1alpha1.ReasonNodeNotRegistered, []string{`only "app@10.77.`, "remove RELEASE_NODE", releasedBy}},
		"the same with the node's own basename":          {v1alpha1.RuntimeMix, []string{"-name", "chat@$ADDRESS"}, false, "RELEASE_COMMAND=start", v1alpha1.ReasonNodeNameMismatch, []string{`"chat@10.77.`, "remove RELEASE_NODE", releasedBy}},
		"env.sh names the node, whatever the runtime":    {v1alpha1.RuntimeErl, []string{"-name", "app@$ADDRESS"}, true, "RELEASE_COMMAND=start", v1alpha1.ReasonNodeNotRegistered, []string{`only "app@10.77.`, "remove RELEASE_NODE", "spec.runtime Mix"}},
		"-sname in vm.args":                              {v1alpha1.RuntimeErl, []string{"-sname", "chat"}, true, "", v1alpha1.ReasonNodeNameMismatch, []string{`"chat@`, "remove -sname"}},
		"-sname in vm.args of an Elixir release":         {v1alpha1.RuntimeMix, []string{"-sname", "chat", "-name", "$NODE"}, false, "RELEASE_COMMAND=start", v1alpha1.ReasonNodeNameMismatch, []string{`"chat@`, "-sname from rel/vm.args.eex"}},
		"-sname in vm.args of relx":                      {v1alpha1.RuntimeRelx, []string{"-sname", "stock"}, false, "RELX_RPC_TIMEOUT=60", v1alpha1.ReasonNodeNotRegistered, []string{`only "stock@`, "put -name ${ERLANG_NODE} into vm.args.src"}},
		"-setcookie in vm.args is without effect":        {v1alpha1.RuntimeErl, []string{"-setcookie", "oops"}, true, "", v1alpha1.ReasonVerified, nil},
		"an Elixir release under Erl":                    {v1alpha1.RuntimeErl, nil, true, "RELEASE_COMMAND=start", v1alpha1.ReasonRuntimeMismatch, []string{"is an Elixir release", "set spec.runtime to Mix"}},
		"a release of relx under Erl":                    {v1alpha1.RuntimeErl, nil, true, "RELX_RPC_TIMEOUT=60", v1alpha1.ReasonRuntimeMismatch, []string{"is a release of relx", "set spec.runtime to Relx"}},
		"a release of relx under Mix":                    {v1alpha1.RuntimeMix, []string{"-name", "$NODE"}, false, "RELX_RPC_TIMEOUT=60", v1alpha1.ReasonRuntimeMismatch, []string{"set spec.runtime to Relx"}},
		"an Elixir release under Relx":                   {v1alpha1.RuntimeRelx, []string{"-sname", "chat"}, false, "RELEASE_COMMAND=start", v1alpha1.ReasonNodeNameMismatch, []string{"no release of relx", "set spec.runtime to Erl, Mix"}},
		"erl under Mix":                                  {v1alpha1.RuntimeMix, nil, false, "", v1alpha1.ReasonNodeNotRegistered, []string{"nor any other name", "only an Elixir release", "set spec.runtime to Erl"}},
		"erl under Relx":                                 {v1alpha1.RuntimeRelx, nil, false, "", v1alpha1.ReasonNodeNotRegistered, []string{"-name ${ERLANG_NODE}", "set spec.runtime to Erl"}},
		"an Elixir release under Custom, which names it": {v1alpha1.RuntimeCustom, []string{"-name", "$NODE"}, false, "RELEASE_COMMAND=start", v1alpha1.ReasonVerified, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, otp := range beam.Releases {
				s := newScene(t, otp)
				s.startEPMD()
				s.epmd()
				s.target.Runtime = misfit.runtime
				flags := fmt.Sprintf("-proto_dist inet_tls -ssl_dist_optfile /mnt/dist.conf -nocookie -setcookie %s -args_file %s -kernel inet_dist_listen_min 9100 inet_dist_listen_max 9109", s.target.Node, naming.CookieFile)
				if misfit.named {
					flags = "-name " + s.target.Node + " " + flags
				}
				s.node(func(o *beam.Options) {
					o.Bare, o.Env = true, []string{"ERL_ZFLAGS=" + flags}
					if misfit.env != "" {
						o.Env = append(o.Env, misfit.env)
					}
					o.Files = map[string][]byte{"cookie/cookie": []byte(cookie)}
					for _, flag := range misfit.image {
						o.Args = append(o.Args, strings.NewReplacer("$ADDRESS", s.host.Address, "$NODE", s.target.Node).Replace(flag))
					}
				})
				verdict := s.verify()
				if unhurried(verdict.Reason) != misfit.reason {
					t.Errorf("OTP %s: %s, want %s", otp, verdict.Reason, misfit.reason)
				}
				for _, says := range misfit.says {
					if !strings.Contains(verdict.Message, says) {
						t.Errorf("OTP %s: the message does not say %q", otp, says)
					}
				}
			}
		})
	}
}
