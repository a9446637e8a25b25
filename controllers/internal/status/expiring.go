package status

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// worrying are the expiries to warn of by now: the grave ones first, and then the soonest.
func (v view) worrying() []expiry {
	all := slices.DeleteFunc(v.expiries(), func(e expiry) bool { return v.Now.Before(e.first) })
	slices.SortStableFunc(all, func(a, b expiry) int {
		if grave := v.grave(a); grave != v.grave(b) {
			if grave {
				return -1
			}
			return 1
		}
		return a.at.Compare(b.at)
	})
	return all
}

func (v view) grave(e expiry) bool { return !v.Now.Before(e.second) }

// expiring warns of what should have been renewed before.
func (v view) expiring() (finding, bool) {
	all := v.worrying()
	if len(all) == 0 {
		return finding{}, false
	}
	first := all[0]
	reason := first.mild
	if v.grave(first) {
		reason = first.grave
	}
	text := fmt.Sprintf("%s %s. %s", first.what, v.ends(first), first.story)
	if others := all[1:]; len(others) > 0 {
		var also []string
		for _, e := range others[:min(len(others), 3)] {
			also = append(also, fmt.Sprintf("%s%s %s", strings.ToLower(e.what[:1]), e.what[1:], v.ends(e)))
		}
		text += fmt.Sprintf(" %d more: %s.", len(others), strings.Join(also, "; "))
	}
	return good(reason, text), true
}

func (v view) ends(e expiry) string {
	at := e.at.UTC().Format(time.RFC3339)
	if left := e.at.Sub(v.Now); left > 0 {
		return fmt.Sprintf("expires in %s, at %s", timeLeft(left), at)
	}
	return "expired at " + at
}
