package probe

import (
	"github.com/go-logr/logr"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/probe/sweep"
)

// logPass logs what a pass did, and what is new since the previous report.
func logPass(log logr.Logger, previous, current *v1alpha1.MeshStatus, desired desired, result sweep.Result) {
	if err := desired.canaryError; err != nil {
		log.Info("Canary not usable", "cause", err.Error())
	}
	for _, edge := range result.Made {
		log.Info("Link made", "from", edge.From, "to", edge.To)
	}
	if same(previous, current) {
		return
	}
	for i, node := range current.Nodes {
		logVerdict(log, previous.Node(node.Pod), node)
		logFailures(log, result.Outcomes[i])
	}
}

func logVerdict(log logr.Logger, previous *v1alpha1.NodeStatus, node v1alpha1.NodeStatus) {
	if previous == nil || previous.Reason != node.Reason || previous.Message != node.Message {
		log.Info("Verdict changed", "node", node.Node, "stage", node.Stage, "reason", node.Reason, "message", node.Message)
	}
}

func logFailures(log logr.Logger, outcome sweep.Outcome) {
	for _, failed := range outcome.Failed {
		log.Info("Link not made", "from", outcome.Node, "to", failed.To, "cause", failed.Err.Error())
	}
	if err := outcome.RefusalsError; err != nil {
		log.Info("Refusal checks not completed", "node", outcome.Node, "cause", err.Error())
	}
	if err := outcome.CertificatesError; err != nil {
		log.Info("Certificate checks not completed", "node", outcome.Node, "cause", err.Error())
	}
}
