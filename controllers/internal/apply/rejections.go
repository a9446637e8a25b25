package apply

import (
	"errors"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
)

// rejections are the errors of one pass that stay until somebody fixes their cause.
type rejections struct {
	kinds  []string
	errors []error
	// unreachable are the kinds that a webhook should have admitted and did not answer about:
	// others of the kind are not tried, because each try may take as long as its timeout.
	unreachable []string
	// blocked is what was not applied because of them, and does not exist.
	blocked []plan.Configuration
}

// keep keeps the error about an object of a kind if it is a rejection, a webhook's failure, or
// about an object of a former cluster, and returns any other.
func (r *rejections) keep(kind string, err error) error {
	switch {
	case err != nil && isWebhookFailure(err):
		r.unreachable = append(r.unreachable, kind)
	case err == nil || !IsRejected(err) && !isFormer(err):
		return err
	}
	r.kinds, r.errors = append(r.kinds, kind), append(r.errors, err)
	return nil
}

// none reports whether no object of these kinds was rejected.
func (r *rejections) none(kinds []string) bool {
	return !slices.ContainsFunc(r.kinds, func(kind string) bool { return slices.Contains(kinds, kind) })
}

func (r *rejections) err() error {
	if len(r.errors) == 0 {
		return nil
	}
	return r
}

func (r *rejections) Error() string {
	messages := make([]string, 0, len(r.errors))
	for _, err := range r.errors {
		messages = append(messages, err.Error())
	}
	return strings.Join(messages, "; ")
}

func (r *rejections) Unwrap() []error { return r.errors }

// IsRejected reports whether an error stays until somebody fixes its cause.
func IsRejected(err error) bool {
	if all := (*rejections)(nil); errors.As(err, &all) {
		return slices.ContainsFunc(all.errors, IsRejected)
	}
	return err != nil && (IsNameConflict(err) || apierrors.IsInvalid(err) && !isReplaced(err) || apierrors.IsForbidden(err) || isUnknownField(err))
}

// isWebhookFailure reports whether a webhook did not answer, which concerns the kinds that it
// admits and no others: cert-manager's may be away while a rollout has to go on. The API
// server has no reason for this error but its message.
func isWebhookFailure(err error) bool {
	return apierrors.IsInternalError(err) && strings.Contains(err.Error(), "failed calling webhook")
}

// isUnknownField reports whether this Kubernetes is too old for a field of the template.
// The API server has no reason for this error but its message.
func isUnknownField(err error) bool {
	return strings.Contains(err.Error(), "field not declared in schema")
}

// IsGone reports whether an error of an apply by UID says that the object is no more, or is
// another one.
func IsGone(err error) bool {
	return apierrors.IsNotFound(err) || apierrors.IsConflict(err) || isReplaced(err)
}

// isReplaced reports whether an error says that the object is not the one that was
// observed. The next reconciliation observes the other.
func isReplaced(err error) bool {
	cause, ok := apierrors.StatusCause(err, metav1.CauseTypeFieldValueInvalid)
	return ok && cause.Field == "metadata.uid"
}
