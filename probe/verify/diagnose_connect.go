package verify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/erldist"
)

func (o observation) diagnoseResolve(err *erldist.StageError) diagnosis {
	const stage, reason = v1alpha1.StageResolve, v1alpha1.ReasonNameResolutionFailed
	malformed, unanswered := new(net.AddrError), new(net.DNSError)
	switch {
	case errors.As(err, &malformed):
		return o.diagnosis(stage, reason, "is not a full node name", "give it as name@host")
	case errors.As(err, &unanswered) && unanswered.IsNotFound:
		return o.diagnosis(stage, reason, "cannot be resolved: its host has no DNS record",
			"check that its pod exists and has an address, and that its headless Service has publishNotReadyAddresses set")
	default:
		return o.diagnosis(stage, reason, "cannot be resolved: DNS gave no answer about its host",
			"check that the DNS servers run and can be reached")
	}
}

func (o observation) diagnoseConnect(err *erldist.StageError) diagnosis {
	return o.diagnoseTCP(err, v1alpha1.StageConnect, "epmd",
		"check that a BEAM runs there and is distributed (the pod's command must start one that honours ERL_ZFLAGS), "+
			"that epmd, which the BEAM starts, still runs and is not disabled by -start_epmd false, and that no network policy blocks its port"+o.namelessHint())
}

func (o observation) diagnoseConnectDistribution(err *erldist.StageError) diagnosis {
	outOfRange := new(portOutOfRangeError)
	if errors.As(err, &outOfRange) {
		return o.diagnosePort(outOfRange.port)
	}
	remedy := "check its log to see whether it runs and listens there, and check that no network policy blocks the port" + o.namelessHint()
	if o.target.FixedPort == 0 {
		remedy = "check its log to see whether it still runs, as it is registered with epmd, and check that no network policy blocks the port"
	}
	return o.diagnoseTCP(err, v1alpha1.StageConnectDistribution, "the distribution port", remedy)
}

// diagnoseTCP is about a TCP connection to a peer, epmd or the distribution port.
func (o observation) diagnoseTCP(err *erldist.StageError, stage v1alpha1.Stage, peer, remedy string) diagnosis {
	switch host, _, _ := net.SplitHostPort(err.Address); {
	case len(o.published) > 0 && !slices.Contains(o.published, host):
		return o.diagnosis(v1alpha1.StageResolve, v1alpha1.ReasonNameResolutionFailed,
			fmt.Sprintf("cannot be reached: DNS has the address %s for it, and Kubernetes publishes %s", host, strings.Join(o.published, ", ")),
			"wait until the DNS servers forget a former address (30 s with CoreDNS), or check that they run and serve this Kubernetes")
	case errors.Is(err, syscall.ECONNREFUSED) || isHangUp(err):
		return o.diagnosis(stage, v1alpha1.ReasonConnectionRefused,
			fmt.Sprintf("cannot be reached: %s at %s refuses connections", peer, err.Address), remedy)
	case errors.Is(err, context.DeadlineExceeded):
		return o.diagnosis(stage, v1alpha1.ReasonConnectionTimedOut,
			fmt.Sprintf("cannot be reached: %s at %s does not answer", peer, err.Address), remedy)
	default:
		return o.diagnosis(stage, v1alpha1.ReasonConnectionTimedOut,
			fmt.Sprintf("cannot be reached: the network has no route to %s at %s", peer, err.Address),
			"check that its pod and its machine run, and that the address can be reached")
	}
}

func (o observation) diagnosePort(port uint16) diagnosis {
	return o.diagnosis(v1alpha1.StageLookup, v1alpha1.ReasonPortOutOfRange,
		fmt.Sprintf("listens on port %d, outside of %d to %d, where its peers cannot reach it", port, o.target.Ports.Min, o.target.Ports.Max),
		fmt.Sprintf("give it -kernel inet_dist_listen_min %d inet_dist_listen_max %d, and check what else sets them first: "+
			"its command, vm.args, ERL_AFLAGS or ERL_FLAGS", o.target.Ports.Min, o.target.Ports.Max))
}

func (o observation) diagnoseLookup(err *erldist.StageError) diagnosis {
	const stage = v1alpha1.StageLookup
	name, _, _ := erldist.SplitNodeName(o.target.Node)
	another := new(erldist.NameMismatchError)
	switch {
	case errors.Is(err, erldist.ErrNotRegistered):
		return o.diagnosis(stage, v1alpha1.ReasonNodeNotRegistered,
			fmt.Sprintf("is not running under that name: epmd at %s does not know %q%s", err.Address, name, o.registeredNames()),
			o.unregisteredRemedy())
	case errors.As(err, &another):
		return o.diagnosis(stage, v1alpha1.ReasonNodeNameMismatch,
			fmt.Sprintf("was looked up, and epmd at %s answered about %q", err.Address, another.Got), "check what runs on that port instead of epmd")
	default:
		return o.diagnosis(stage, v1alpha1.ReasonEPMDUnreachable,
			fmt.Sprintf("cannot be looked up: the program at %s does not answer as epmd does", err.Address), "check what runs on that port, and restart epmd")
	}
}

// unregisteredRemedy is by the name of the node that was found instead.
func (o observation) unregisteredRemedy() string {
	if o.runsAs != "" {
		return o.nameRemedy(o.runsAs)
	}
	return "wait until it has started, or check its log, and the -name or -sname that it is started with" + o.namelessHint()
}

// registeredNames are the names that epmd does know: none when it was not asked.
func (o observation) registeredNames() string {
	switch names := o.registered; {
	case o.runsAs != "":
		return fmt.Sprintf(", only %q", o.runsAs)
	case names == nil:
		return ""
	case len(names) == 0:
		return ", nor any other name"
	default:
		var quoted []string
		for _, name := range names[:min(len(names), 5)] {
			quoted = append(quoted, fmt.Sprintf("%q", name))
		}
		return ", only " + strings.Join(quoted, ", ")
	}
}
