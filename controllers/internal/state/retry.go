package state

import (
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"k8s.io/utils/ptr"
)

// IssuingRetried is the reason of the condition Issuing of a Certificate where the operator has set it.
const IssuingRetried = "Retried"

// FirstRetryDelay is the least that works. cert-manager's times have whole seconds, and it takes a
// failure that is not older than the condition Issuing for one of the issuance that the condition began.
const FirstRetryDelay = time.Second

// From the second failure in a row the delay doubles. It is never longer than cert-manager's own.
const (
	secondRetryDelay  = time.Minute
	longestRetryDelay = time.Hour
)

// A Retry is the next issuance of a Certificate that was not issued.
type Retry struct {
	// Failures in a row until now.
	Failures int
	// At is when it begins.
	At time.Time
}

// NextRetry is when the operator has a Certificate issued again that has failed.
func (s State) NextRetry(certificate *certmanager.Certificate) Retry {
	// Not every cert-manager counts.
	failures := max(1, ptr.Deref(certificate.Status.FailedIssuanceAttempts, 2))
	return Retry{Failures: failures, At: s.failedAt(certificate).Add(retryDelay(failures))}
}

// failedAt is when the last issuance failed. A time that has not come yet is by a clock that is ahead, or
// somebody has written it: then it is when the last request was made, so that no pause is longer than it
// should be, and none is left out.
func (s State) failedAt(certificate *certmanager.Certificate) time.Time {
	request := s.Requests[certificate.Name]
	switch failed := certificate.Status.LastFailureTime.Time; {
	case !failed.After(s.Now):
		return failed
	case request != nil:
		return request.CreationTimestamp.Time
	}
	return certificate.CreationTimestamp.Time
}

// RetriedFrom is the time that a retry has as the beginning of its issuance: one second after the failure by
// cert-manager's clock, whatever the manager's shows. With an earlier time cert-manager would take the failure
// for one of this issuance, and with a later one a failure of this issuance for the last one's, and try
// again without any delay. A failure that has not come yet is one only if the last request has it.
func (s State) RetriedFrom(certificate *certmanager.Certificate) time.Time {
	failed, request := certificate.Status.LastFailureTime.Time, s.Requests[certificate.Name]
	switch {
	case !failed.After(s.Now):
		return failed.Add(FirstRetryDelay)
	case request != nil && request.Status.FailureTime != nil:
		return request.Status.FailureTime.Add(FirstRetryDelay)
	}
	return s.Now
}

func retryDelay(failures int) time.Duration {
	if failures == 1 {
		return FirstRetryDelay
	}
	delay := secondRetryDelay
	for range failures - 2 {
		if delay = 2 * delay; delay >= longestRetryDelay {
			return longestRetryDelay
		}
	}
	return delay
}
