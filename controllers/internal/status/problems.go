package status

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
)

// problems are those that stall the cluster, and those of an issuer of which nothing is
// missing: a proven mesh stays Ready while its issuer is away.
func (p pass) problems() (stalling, ofIssuer []plan.Problem) {
	complete := p.credentials().status == metav1.ConditionTrue && len(p.plan.Holds) == 0
	issuerReasons := []string{v1alpha1.ReasonIssuerNotReady, v1alpha1.ReasonIssuerNotFound, v1alpha1.ReasonIssuerKindUnknown}
	for _, problem := range p.plan.Problems {
		if complete && slices.Contains(issuerReasons, problem.Reason) {
			ofIssuer = append(ofIssuer, problem)
		} else {
			stalling = append(stalling, problem)
		}
	}
	return stalling, ofIssuer
}

// issuerUnavailable warns of an issuer that will be needed for the next renewal.
func (p pass) issuerUnavailable() (assessment, bool) {
	_, problems := p.problems()
	if len(problems) == 0 {
		return assessment{}, false
	}
	return isTrue(problems[0].Reason, messageOf(problems)+" Every certificate is valid; none can be renewed."), true
}

func messageOf(problems []plan.Problem) string {
	messages := make([]string, 0, len(problems))
	for _, problem := range problems {
		messages = append(messages, sentence(problem.Message))
	}
	return strings.Join(messages, " ")
}
