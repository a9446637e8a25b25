package verify

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// LetIn says of a node that it let in whom it must refuse, and how to mend it.
func LetIn(node string, accepted []v1alpha1.RefusalTrial) string {
	var whom []string
	for _, trial := range accepted {
		switch trial {
		case v1alpha1.TrialNoCertificate:
			whom = append(whom, "a client without a certificate")
		case v1alpha1.TrialForeignCA:
			whom = append(whom, "a client with the certificate of a foreign CA")
		case v1alpha1.TrialPlaintext:
			whom = append(whom, "a client that speaks plaintext")
		case v1alpha1.TrialWrongCookie:
			whom = append(whom, "a client with a wrong cookie")
		}
	}
	return clip(fmt.Sprintf("%s let in %s; give the server options in its -ssl_dist_optfile {verify,verify_peer} and "+
		"{fail_if_no_peer_cert,true}, and the cluster's CA alone as cacertfile, and restart it", node, strings.Join(whom, ", ")))
}

// ErrLinksLost says that nodes gave up other links when one was made.
var ErrLinksLost = errors.New("other links were lost when it was made")

// NotLinked says of a verified node that it could not connect to another, and how to
// find out why.
func NotLinked(node, to string, err error) string {
	cause := "cannot connect to"
	switch {
	case errors.Is(err, ErrLinksLost):
		return clip(fmt.Sprintf("%s and %s were linked, and nodes lost other links by it, though all are verified; see in the logs of the "+
			"nodes which two of them cannot connect (prevent_overlapping_partitions has the others part with them), and whether they are overloaded", node, to))
	case errors.Is(err, ErrNotConnected):
	case errors.Is(err, context.DeadlineExceeded):
		cause = "does not get done connecting to"
	default:
		cause = "does not stay connected to"
	}
	return clip(fmt.Sprintf("%s %s %s, though both are verified; see in the logs of the two what they have against each other: "+
		"it may be the client options of -ssl_dist_optfile, a cookie set for that one peer, or a network policy", node, cause, to))
}
