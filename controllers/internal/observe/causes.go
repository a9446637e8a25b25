package observe

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// causes reads why pods or certificates are missing, or pods not Ready, live, and only while they are. It is
// no part of what a decision depends on, so a read that fails holds up nothing.
func (o *Observer) causes(ctx context.Context, observed *state.State) error {
	if missing := observed.MissingPods(); len(missing) > 0 {
		o.podFailures(ctx, observed, missing)
		o.namesTaken(ctx, observed, missing)
	}
	o.podEvents(ctx, observed)
	if observed.StoringOverdue() {
		o.secretQuota(ctx, observed)
	}
	return nil
}

// podEvents reads what was recorded of the pods that are not Ready.
func (o *Observer) podEvents(ctx context.Context, observed *state.State) {
	observed.PodEvents = map[string][]state.PodEvent{}
	for _, pod := range slices.Concat(observed.TroubledPods(), observed.TroubledProbes()) {
		events, err := o.eventsOf(ctx, pod)
		if err != nil {
			log.FromContext(ctx).Error(err, "Failed to list the events of a pod", "pod", pod.Name)
		}
		for _, event := range events {
			observed.PodEvents[pod.Name] = append(observed.PodEvents[pod.Name], podEvent(event))
		}
	}
}

// eventsOf lists the events of an object, the latest last.
func (o *Observer) eventsOf(ctx context.Context, object client.Object) ([]eventsv1.Event, error) {
	var events eventsv1.EventList
	err := o.Live.List(ctx, &events, client.InNamespace(object.GetNamespace()),
		client.MatchingFields{"regarding.uid": string(object.GetUID())})
	slices.SortStableFunc(events.Items, func(a, b eventsv1.Event) int {
		return recordedAt(a).Compare(recordedAt(b))
	})
	return events.Items, err
}

func podEvent(event eventsv1.Event) state.PodEvent {
	container, _ := strings.CutPrefix(event.Regarding.FieldPath, "spec.containers{")
	return state.PodEvent{
		Container: strings.TrimSuffix(container, "}"),
		Reason:    event.Reason,
		Note:      strings.TrimPrefix(event.Note, "(combined from similar events): "),
		At:        recordedAt(event),
	}
}

// podFailures reads why pods could not be created, which is nowhere but in the events of
// the StatefulSet: its status has no condition for that.
func (o *Observer) podFailures(ctx context.Context, observed *state.State, missing []string) {
	events, err := o.eventsOf(ctx, observed.StatefulSet)
	if err != nil {
		log.FromContext(ctx).Error(err, "Failed to list the events of the StatefulSet")
		return
	}
	observed.PodFailures = failures(events, missing, lastCreated(observed.OwnPods()))
}

// maxNamesakes is how many of the missing pods are looked for under their names.
const maxNamesakes = 3

// namesTaken looks for pods that have the names of missing ones and not their labels, such
// as one whose labels somebody has removed. The StatefulSet controller records nothing. A pod
// that terminates, as that of a former StatefulSet, gives its name back.
func (o *Observer) namesTaken(ctx context.Context, observed *state.State, missing []string) {
	members := labels.SelectorFromSet(plan.Selector(observed.Names.Cluster, plan.ComponentNode))
	for _, name := range missing[:min(len(missing), maxNamesakes)] {
		pod := &metav1.PartialObjectMetadata{}
		pod.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
		err := o.Live.Get(ctx, client.ObjectKey{Namespace: observed.Names.Namespace, Name: name}, pod)
		if client.IgnoreNotFound(err) != nil {
			log.FromContext(ctx).Error(err, "Failed to look for a pod that is missing", "pod", name)
		}
		if err == nil && pod.DeletionTimestamp == nil && !members.Matches(labels.Set(pod.Labels)) {
			observed.NamesTaken = append(observed.NamesTaken, name)
		}
	}
}

// creation matches what the StatefulSet controller records of the creation of a pod.
var creation = regexp.MustCompile(`(?is)^(?:\(combined from similar events\): )?create Pod (\S+) in StatefulSet \S+ (?:successful|failed error: (.+))$`)

// failures are the last failed creations of the missing pods. One before a pod was created
// is over: that of the same pod, or of any, because the controller tries all that are missing.
func failures(recorded []eventsv1.Event, missing []string, lastCreated time.Time) map[string]string {
	found := map[string]string{}
	for _, event := range recorded {
		match := creation.FindStringSubmatch(event.Note)
		switch {
		case match == nil || !slices.Contains(missing, match[1]):
		case event.Reason == "FailedCreate" && !recordedAt(event).Before(lastCreated):
			found[match[1]] = match[2]
		case event.Reason == "SuccessfulCreate":
			delete(found, match[1])
		}
	}
	return found
}

// recordedAt is when an event happened last, however it was recorded.
func recordedAt(event eventsv1.Event) time.Time {
	at := event.DeprecatedLastTimestamp.Time
	if event.EventTime.After(at) {
		at = event.EventTime.Time
	}
	if event.Series != nil && event.Series.LastObservedTime.After(at) {
		at = event.Series.LastObservedTime.Time
	}
	return at
}

func lastCreated(pods []corev1.Pod) (last time.Time) {
	for _, pod := range pods {
		if pod.CreationTimestamp.After(last) {
			last = pod.CreationTimestamp.Time
		}
	}
	return last
}

// secretQuota reads which quota allows no more Secrets: cert-manager tells in its log alone
// that it cannot store a key or a certificate.
func (o *Observer) secretQuota(ctx context.Context, observed *state.State) {
	var quotas corev1.ResourceQuotaList
	if err := o.Live.List(ctx, &quotas, client.InNamespace(observed.Names.Namespace)); err != nil {
		log.FromContext(ctx).Error(err, "Failed to list ResourceQuotas")
		return
	}
	for _, quota := range quotas.Items {
		if exhausted(quota.Status) {
			observed.SecretQuota = quota.Name
		}
	}
}

func exhausted(status corev1.ResourceQuotaStatus) bool {
	return slices.ContainsFunc([]corev1.ResourceName{corev1.ResourceSecrets, "count/secrets"}, func(name corev1.ResourceName) bool {
		hard, limited := status.Hard[name]
		return limited && hard.Cmp(status.Used[name]) <= 0
	})
}
