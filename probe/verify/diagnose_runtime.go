package verify

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/erldist"
)

// releaseKinds are variables that the start script of a release sets, by its runtime.
var releaseKinds = []struct {
	variable string
	runtime  v1alpha1.Runtime
}{
	{"RELEASE_COMMAND", v1alpha1.RuntimeMix},
	{"RELX_RPC_TIMEOUT", v1alpha1.RuntimeRelx},
}

// images describes the releases.
var images = map[v1alpha1.Runtime]string{
	v1alpha1.RuntimeMix:  "an Elixir release",
	v1alpha1.RuntimeRelx: "a release of relx",
}

// isWrongRuntime reports whether a node that works is a release whose commands do not reach
// it, because the cluster's runtime is for another kind of image. With Custom they are up to
// the image.
func (o observation) isWrongRuntime() bool {
	runtime := o.target.Runtime
	return o.release != "" && runtime != "" && runtime != v1alpha1.RuntimeCustom && runtime != o.release
}

func (o observation) diagnoseRuntime() diagnosis {
	return o.diagnosis(v1alpha1.StageCall, v1alpha1.ReasonRuntimeMismatch,
		fmt.Sprintf("is verified, but it is %s, and spec.runtime is %s: commands such as rpc, remote and stop do not reach it", images[o.release], o.target.Runtime),
		fmt.Sprintf("set spec.runtime to %s", o.release))
}

// namelessHint completes a remedy for a pod in which no node was found: it may run one
// that is not distributed.
func (o observation) namelessHint() string {
	switch o.target.Runtime {
	case v1alpha1.RuntimeMix:
		return ". With spec.runtime Mix only an Elixir release gets its name: if the image is none, set spec.runtime to Erl, Relx or Custom; otherwise remove RELEASE_DISTRIBUTION from rel/env.sh.eex"
	case v1alpha1.RuntimeRelx:
		return ". With spec.runtime Relx vm.args.src must have -name ${ERLANG_NODE}: if the image is no release of relx, set spec.runtime to Erl, Mix or Custom"
	case v1alpha1.RuntimeCustom:
		return ". With spec.runtime Custom the template or the image must name its node $(ERLANG_NODE): if the command is erl, elixir or iex, set spec.runtime to Erl"
	default:
		return ""
	}
}

// nameRemedy is about a node that runs under another name.
func (o observation) nameRemedy(name string) string {
	_, host, err := erldist.SplitNodeName(name)
	_, noAddress := netip.ParseAddr(host)
	isAddress, isShort := err == nil && noAddress == nil, err == nil && !strings.Contains(host, ".")
	switch runtime := o.target.Runtime; {
	case runtime == v1alpha1.RuntimeRelx:
		return "put -name ${ERLANG_NODE} into vm.args.src, and no other -name or -sname. If the image is no release of relx, set spec.runtime to Erl, Mix or Custom"
	case runtime == v1alpha1.RuntimeCustom:
		return "have the image name its node by $ERLANG_NODE, a long name"
	case isAddress && runtime == v1alpha1.RuntimeMix:
		return "remove RELEASE_NODE and RELEASE_DISTRIBUTION from rel/env.sh.eex, and -name from rel/vm.args.eex: the operator gives the node its name"
	case isAddress:
		return "remove RELEASE_NODE and RELEASE_DISTRIBUTION from rel/env.sh.eex, and -name from vm.args: the operator gives the node its name. An Elixir release needs spec.runtime Mix"
	case isShort && runtime == v1alpha1.RuntimeMix:
		return "remove RELEASE_DISTRIBUTION from rel/env.sh.eex, and -sname from rel/vm.args.eex. If the image is no Elixir release, set spec.runtime to Erl, Relx or Custom"
	case isShort:
		return "remove -sname, which beats every -name, from its command, vm.args, ERL_AFLAGS and ERL_FLAGS. An Elixir release needs spec.runtime Mix, a release of relx Relx"
	case runtime == v1alpha1.RuntimeMix:
		return "remove RELEASE_NODE from rel/env.sh.eex, and -name from rel/vm.args.eex. If the image is no Elixir release, set spec.runtime to Erl, Relx or Custom"
	case host == o.host():
		return "remove -name from its command, vm.args, ERL_AFLAGS and ERL_FLAGS: the operator gives the node its name"
	default:
		return "check that DNS gives the address of the right pod, and with which -name the node is started"
	}
}

// runtimeOf finds the runtime that the answers of os:getenv/1 for releaseKinds show.
func runtimeOf(answers []erldist.Term) v1alpha1.Runtime {
	for i, kind := range releaseKinds {
		if answers[i] != erldist.Term(erldist.Atom("false")) { // the answer for a variable that is not set
			return kind.runtime
		}
	}
	return ""
}
