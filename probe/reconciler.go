package probe

import (
	"context"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/probe/mesh"
	"github.com/erlang-operator/erlang-operator/probe/sweep"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

type reconciler struct {
	client      client.Client
	credentials credentialsReader
	options     Options
	now         func() time.Time
	last        written
	changed     time.Time   // when a report last said something new
	failed      []mesh.Edge // links that the last sweep could not make
	harmful     backoff
}

// written is what was reported last. The cache may not have heard of it yet.
type written struct {
	cluster types.UID
	mesh    *v1alpha1.MeshStatus
}

func newReconciler(c client.Client, options Options) *reconciler {
	return &reconciler{client: c, options: options, now: time.Now}
}

// Reconcile reads the credentials, sweeps the nodes, and reports.
func (r *reconciler) Reconcile(ctx context.Context, cluster *v1alpha1.ErlangCluster) (ctrl.Result, error) {
	if !cluster.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil // The nodes are going, and so are we.
	}
	log := logr.FromContextOrDiscard(ctx)
	names := naming.Of(cluster, r.options.Domain)

	credentials, err := r.credentials.read(ctx, names)
	if err != nil {
		// Without them nothing can be told of any node, so nothing is: a verdict
		// would be a guess.
		log.Info("no verdict: credentials are missing", "cause", err.Error())
		return ctrl.Result{RequeueAfter: r.options.UnsettledInterval}, nil
	}

	if credentials.canaryError != nil {
		log.Info("no canary", "cause", credentials.canaryError.Error())
	}

	previous := r.previous(cluster)
	verifier := &verify.Verifier{
		Credentials: credentials.Credentials, Limits: r.options.Limits,
		Resolve: r.options.Resolve, DialContext: r.options.DialContext,
	}
	begun := r.now()
	result := sweep.Run(ctx, verifier, expected(cluster, names, previous), sweep.Options{
		Concurrency: r.options.Concurrency, HealingTime: r.options.HealingTime,
		Postponed: r.failed, Harmful: r.harmful.resting(begun),
	})
	if ctx.Err() != nil {
		return ctrl.Result{}, ctx.Err() // Stopped in the midst of it: what failed says nothing.
	}

	r.failed = result.Failed
	r.harmful.learn(begun, r.now(), result.Harmful)
	status := report(previous, result, names, cluster.Generation, r.now())
	status.CookieVersion = credentials.cookieVersion
	for _, edge := range result.Made {
		log.Info("linked", "from", edge.From, "to", edge.To)
	}
	if !same(previous, status) {
		r.changed = r.now()
		tell(log, previous, status, result)
	}
	if err := r.publish(ctx, cluster, previous, status); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: r.interval(result, status)}, nil
}

// previous is the report before this one.
func (r *reconciler) previous(cluster *v1alpha1.ErlangCluster) *v1alpha1.MeshStatus {
	seen := cluster.Status.Mesh
	if r.last.cluster != cluster.UID || r.last.mesh == nil {
		return seen
	}
	if seen != nil && seen.HeartbeatTime.After(r.last.mesh.HeartbeatTime.Time) {
		return seen
	}
	return r.last.mesh
}

// publish writes a report that says something new, or confirms the last one when it
// is getting old.
func (r *reconciler) publish(ctx context.Context, cluster *v1alpha1.ErlangCluster, previous, mesh *v1alpha1.MeshStatus) error {
	if same(previous, mesh) && mesh.HeartbeatTime.Sub(previous.HeartbeatTime.Time) < r.options.HeartbeatInterval {
		return nil
	}
	if err := publish(ctx, r.client, cluster, mesh); err != nil {
		return err
	}
	r.last = written{cluster: cluster.UID, mesh: mesh}
	return nil
}

// patience is how long a trouble may last before it is looked at less often.
const patience = time.Minute

// interval is the time to the next sweep: the longer something has been wrong, the
// longer, within bounds; what changed just now will likely change again. Nodes that part
// with each other are given time to find together.
func (r *reconciler) interval(result sweep.Result, mesh *v1alpha1.MeshStatus) time.Duration {
	unchanged := r.now().Sub(r.changed)
	switch {
	case settled(result, mesh):
		return r.options.SettledInterval
	case unchanged > patience && logged(result):
		return r.options.PatientInterval
	case result.Lost > 0:
		return r.options.UnsettledInterval
	default:
		return min(max(unchanged, time.Second), r.options.UnsettledInterval)
	}
}

// logged says that a sweep with this result leaves a line in the log of a node: of
// one that breaks a handshake off, refuses the canary, or cannot connect to another.
func logged(result sweep.Result) bool {
	return len(result.Failed) > 0 || slices.ContainsFunc(result.Outcomes, func(o sweep.Outcome) bool {
		return !o.Verified() && (o.Stage == v1alpha1.StageTLS || o.Stage == v1alpha1.StageHandshake) ||
			o.Canary != nil && !o.Canary.Accepted
	})
}

// settled says that there is nothing more to wish for.
func settled(result sweep.Result, mesh *v1alpha1.MeshStatus) bool {
	for _, node := range mesh.Nodes {
		if !node.Verified() || node.Refusals == nil || node.Refusals.Incarnation != node.Incarnation {
			return false
		}
	}
	for _, outcome := range result.Outcomes {
		if outcome.Outdated || outcome.Canary != nil {
			return false // The CA changes: there is more to see.
		}
	}
	return result.Mesh.Whole()
}

// tell logs what is new since the last report.
func tell(log logr.Logger, previous, mesh *v1alpha1.MeshStatus, result sweep.Result) {
	for i, node := range mesh.Nodes {
		if before := nodeOf(previous, node.Pod); before == nil || before.Reason != node.Reason || before.Message != node.Message {
			log.Info("verdict", "node", node.Node, "stage", node.Stage, "reason", node.Reason, "message", node.Message)
		}
		for _, failed := range result.Outcomes[i].Failed {
			log.Info("not linked", "from", node.Node, "to", failed.To, "cause", failed.Err.Error())
		}
		if err := result.Outcomes[i].TrialError; err != nil {
			log.Info("refusals not proven", "node", node.Node, "cause", err.Error())
		}
		if err := result.Outcomes[i].CertificatesError; err != nil {
			log.Info("certificates not tried", "node", node.Node, "cause", err.Error())
		}
	}
}
