package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// dueExpiries are the expiries to warn of by now: the urgent ones first, each group by time.
func (p pass) dueExpiries() []expiry {
	due := slices.DeleteFunc(p.expiries(), func(e expiry) bool { return p.Now.Before(e.warnAt) })
	rank := func(e expiry) int {
		if p.urgent(e) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(due, func(a, b expiry) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), a.notAfter.Compare(b.notAfter))
	})
	return due
}

func (p pass) urgent(e expiry) bool { return !p.Now.Before(e.urgentAt) }

// expiring warns of what should have been renewed before.
func (p pass) expiring() (assessment, bool) {
	due := p.dueExpiries()
	if len(due) == 0 {
		return assessment{}, false
	}
	first, others := due[0], due[1:]
	reason := first.reason
	if p.urgent(first) {
		reason = first.urgentReason
	}
	text := fmt.Sprintf("%s %s. %s", first.subject, p.ends(first), first.explanation)
	if len(others) > 0 {
		var also []string
		for _, e := range others[:min(len(others), 3)] {
			also = append(also, fmt.Sprintf("%s%s %s", strings.ToLower(e.subject[:1]), e.subject[1:], p.ends(e)))
		}
		text += fmt.Sprintf(" %d more: %s.", len(others), strings.Join(also, "; "))
	}
	return isTrue(reason, text), true
}

func (p pass) ends(e expiry) string {
	at := e.notAfter.UTC().Format(time.RFC3339)
	if left := e.notAfter.Sub(p.Now); left > 0 {
		return fmt.Sprintf("expires in %s, at %s", timeLeft(left), at)
	}
	return "expired at " + at
}
