package status

import (
	"fmt"
	"strings"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// contested warns of objects that another manager changes again and again.
func (p pass) contested() (assessment, bool) {
	var texts []string
	for _, contest := range p.outcome.Contests {
		texts = append(texts, fmt.Sprintf(
			"%s: another manager (%s) changes %s again and again. It has been restored %d times, and is left as it is until %s. Remove the object from what that manager manages.",
			contest.Object, strings.Join(contest.Managers, ", "), strings.Join(contest.Fields, ", "), contest.Restored, contest.Again.UTC().Format(time.RFC3339)))
	}
	return isTrue(v1alpha1.ReasonFieldConflict, strings.Join(texts, " ")), len(texts) > 0
}
