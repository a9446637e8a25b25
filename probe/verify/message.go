package verify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
)

// maxMessage is the most characters that the API accepts.
const maxMessage = 1024

// message says which node, the cause and the remedy: "NODE cause; remedy".
func message(node, cause, remedy string) string {
	return truncate(node + " " + cause + "; " + remedy)
}

// truncate bounds a message, parts of which a peer may have chosen.
func truncate(message string) string {
	message = strings.ToValidUTF8(message, "?")
	if utf8.RuneCountInString(message) <= maxMessage {
		return message
	}
	return string([]rune(message)[:maxMessage-1]) + "…"
}

// FormerCookieMessage is about a verified node that keeps the former cookie because its file
// does not have the current one yet.
func FormerCookieMessage(node string) string {
	return message(node, "runs with the former cookie until its file "+naming.CookieFile+" has the new one",
		"its kubelet updates that file: if it does not within two minutes, check the kubelet of its machine, or delete the pod")
}

// clients describes the client of each trial.
var clients = map[v1alpha1.RefusalTrial]string{
	v1alpha1.TrialNoCertificate: "a client without a certificate",
	v1alpha1.TrialForeignCA:     "a client with the certificate of a foreign CA",
	v1alpha1.TrialPlaintext:     "a client in plaintext",
	v1alpha1.TrialWrongCookie:   "a client with a wrong cookie",
}

// AcceptedMessage is about a node that accepted clients that it must refuse.
func AcceptedMessage(node string, accepted []v1alpha1.RefusalTrial) string {
	names := make([]string, len(accepted))
	for i, trial := range accepted {
		names[i] = clients[trial]
	}
	return message(node, "accepted "+strings.Join(names, ", "),
		"set {verify,verify_peer} and {fail_if_no_peer_cert,true} in the server options of its -ssl_dist_optfile, "+
			"with the cluster's CA alone as cacertfile, and restart it")
}

// SilentMessage is about a verified node that is linked to another, which does not answer
// over that link.
func SilentMessage(node, peer string) string {
	return message(node, fmt.Sprintf("is linked to %s, and gets no answer over that link, though both are verified", peer),
		"check the network between their machines, in both directions, and that no network policy or packet filter drops what one sends: "+
			"OTP keeps the link for a minute or more (net_ticktime), and the probe makes another when it has ended")
}

// ErrLinksLost is the cause of a link that was made while nodes dropped other links.
var ErrLinksLost = errors.New("other links were lost when the link was made")

// ErrUnreachable is the cause of a link that was not tried, because TCP connections between its
// ends fail in both directions.
var ErrUnreachable = errors.New("neither end opens a TCP connection to the other")

// LinkMessage is about a verified node that could not be linked to another.
func LinkMessage(node, to string, err error) string {
	if errors.Is(err, ErrLinksLost) {
		return message(node, fmt.Sprintf("was connected to %s, and nodes dropped other links because of it, though all are verified", to),
			"check the logs of the nodes for two of them that cannot connect (prevent_overlapping_partitions makes the others disconnect from these), "+
				"and check whether nodes are overloaded")
	}
	if errors.Is(err, ErrUnreachable) {
		return message(node, fmt.Sprintf("and %s cannot open TCP connections to each other, though both are verified", to),
			"check the network between their machines, and that no network policy or packet filter drops what one sends: no link is made "+
				"that would have them try, because OTP makes other nodes disconnect from two that cannot connect")
	}
	cause := "does not stay connected to"
	switch {
	case errors.Is(err, ErrNotConnected):
		cause = "cannot connect to"
	case errors.Is(err, context.DeadlineExceeded):
		cause = "does not finish connecting to"
	}
	return message(node, fmt.Sprintf("%s %s, though both are verified", cause, to),
		"check the logs of both nodes: the cause may be the client options in -ssl_dist_optfile, a cookie set for that one peer, or a network policy")
}
