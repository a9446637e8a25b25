package verify

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/erldist"
)

// diagnosis is the conclusion about a node.
type diagnosis struct {
	Stage   v1alpha1.Stage
	Reason  string
	Message string
}

// diagnoses are by the stage at which the attempt failed. The stage of the diagnosis may
// be another one.
var diagnoses = map[erldist.Stage]func(observation, *erldist.StageError) diagnosis{
	erldist.StageResolve:             observation.diagnoseResolve,
	erldist.StageConnect:             observation.diagnoseConnect,
	erldist.StageLookup:              observation.diagnoseLookup,
	erldist.StageConnectDistribution: observation.diagnoseConnectDistribution,
	erldist.StageTLS:                 observation.diagnoseTLS,
	erldist.StageHandshake:           observation.diagnoseHandshake,
	erldist.StageCall:                observation.diagnoseCall,
}

// diagnose concludes from an error, and from everything else that was observed, why a
// node could not be verified.
func diagnose(err error, seen observation) diagnosis {
	if err == nil {
		return seen.diagnosePassed()
	}
	failed, old := new(erldist.StageError), releaseError{}
	switch {
	case errors.As(err, &old):
		return seen.diagnosis(v1alpha1.StageCall, v1alpha1.ReasonUnsupportedFlags,
			fmt.Sprintf("is too old: it runs OTP %.16q", old.release), fmt.Sprintf("run OTP %d or later", oldestRelease))
	case errors.Is(err, hiddenError{}):
		return seen.diagnosis(v1alpha1.StageCall, v1alpha1.ReasonHiddenNode,
			"is a hidden node: nodes() of the others does not have it",
			"start it without -hidden: check its command, vm.args, ERL_AFLAGS and ERL_FLAGS")
	case errors.Is(err, besideError{}):
		return seen.diagnosis(v1alpha1.StageCall, v1alpha1.ReasonNotTheNode,
			"is not the node: a BEAM has its name that was started beside the container's own process, by an exec probe, a hook or kubectl exec",
			"end it, and start it with "+naming.ProgramsDir+"/visitor, as spec.visitors: Managed does for exec probes and hooks: it gives a name of its own")
	case !errors.As(err, &failed):
		return seen.diagnosis(v1alpha1.StageCall, v1alpha1.ReasonCallFailed,
			fmt.Sprintf("answers a remote call in a way that no Erlang node does (%v)", err), "check what runs on its distribution port")
	}
	return diagnoses[failed.Stage](seen, failed)
}

// innermost is the cause of an error without what differs from one attempt to the next,
// such as our port.
func innermost(err error) error {
	if failed := new(net.OpError); errors.As(err, &failed) {
		return failed.Err
	}
	return err
}

// diagnosis words a conclusion.
func (o observation) diagnosis(stage v1alpha1.Stage, reason, cause, remedy string) diagnosis {
	return diagnosis{Stage: stage, Reason: reason, Message: message(o.target.Node, cause, remedy)}
}

// slow is how long a connection may take before a warning. Two nodes give up on each other
// after net_setuptime, 7 s.
const slow = 2500 * time.Millisecond

// diagnosePassed is about a node that passed every stage.
func (o observation) diagnosePassed() diagnosis {
	if o.isWrongRuntime() {
		return o.diagnoseRuntime()
	}
	var took time.Duration
	for _, timing := range o.timings {
		if timing.Stage != v1alpha1.StageResolve && timing.Stage != v1alpha1.StageCall {
			took += timing.Duration
		}
	}
	if took < slow {
		return diagnosis{Stage: v1alpha1.StageCall, Reason: v1alpha1.ReasonVerified}
	}
	return o.diagnosis(v1alpha1.StageCall, v1alpha1.ReasonSlowHandshake,
		fmt.Sprintf("is verified, but took more than %s to connect", slow),
		"check whether it or its machine is overloaded, and whether the network loses or delays packets: nodes give up on each other after net_setuptime, 7 s")
}
