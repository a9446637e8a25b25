//go:build erlang

package probe

import (
	"strings"
	"testing"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/probe/verify"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// The BEAM of a container's own process is the node, however deep below it. One that was
// started beside it has the same name, certificate and cookie, and is not.
func TestNotTheNode(t *testing.T) {
	onEachRelease(t, func(t *testing.T, otp string) {
		inPod := func(o *beam.Options) { o.Env = []string{naming.PodUIDVariable + "=" + podUID(0)} }
		verified := func(s *scene) verify.Verdict {
			verdict, session := s.verifier.Verify(deadline(t), s.target)
			if session != nil {
				session.Close()
			}
			return verdict
		}
		for name, under := range map[string][]string{
			"by itself":     nil,
			"below a shell": {"sh", "-c", `"$@"; exit $?`, "sh"},
			"below two":     {"sh", "-c", `"$@"; exit $?`, "sh", "sh", "-c", `"$@"; exit $?`, "sh"},
		} {
			t.Run(name, func(t *testing.T) {
				s := newScene(t, otp)
				s.node(inPod, func(o *beam.Options) { o.Under = under })
				if verdict := verified(s); unhurried(verdict.Reason) != v1alpha1.ReasonVerified {
					t.Errorf("%s: %s", verdict.Reason, verdict.Message)
				}
			})
		}
		t.Run("beside", func(t *testing.T) {
			s := newScene(t, otp)
			starting := s.node(inPod, func(o *beam.Options) { o.Bare = true })
			starting.StartBeside(s.options(nil))
			verdict := verified(s)
			t.Log(verdict.Message)
			if verdict.Reason != v1alpha1.ReasonNotTheNode || verdict.Stage != v1alpha1.StageCall || verdict.Verified() || !strings.Contains(verdict.Message, naming.ProgramsDir+"/visitor") {
				t.Errorf("stage %s, %s: %s", verdict.Stage, verdict.Reason, verdict.Message)
			}
		})
	})
}
