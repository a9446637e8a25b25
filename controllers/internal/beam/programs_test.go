package beam

import (
	"strings"
	"testing"

	"github.com/erlang-operator/erlang-operator/certs/naming"
)

func TestProgramsNameWhatIsMounted(t *testing.T) {
	for program, names := range map[string][]string{
		nodeProgram:    {envNodeFlags, envFlags},
		visitorProgram: {envNode, envSharedFlags, envFlags, envPod, releaseDistribution, releaseNode, naming.RelxArgsFile},
		shellProgram:   {envNode, envPod, "/" + visitorProgram},
	} {
		for _, name := range names {
			if !strings.Contains(Programs()[program], name) {
				t.Errorf("%s does not name %s", program, name)
			}
		}
	}
}
