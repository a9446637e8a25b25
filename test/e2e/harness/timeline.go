package harness

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Timeline is the condition Ready of a cluster, as it changes.
type Timeline struct {
	mutex   sync.Mutex
	changes []change
	err     error
}

type change struct {
	at    time.Time
	ready bool
	text  string // status, reason and message
}

// Timeline watches the condition Ready until the test ends.
func (c Cluster) Timeline(t testing.TB) *Timeline {
	t.Helper()
	l := new(Timeline)
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	t.Cleanup(func() { cancel(); ended.Wait() })
	ended.Go(func() {
		for ctx.Err() == nil { // The API server ends a watch after a while.
			if err := c.watchReady(ctx, l.add); err != nil {
				l.mutex.Lock()
				l.err = err
				l.mutex.Unlock()
				return
			}
		}
	})
	return l
}

func (l *Timeline) add(text string) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	now := change{at: time.Now(), ready: strings.HasPrefix(text, "True "), text: text}
	if last := len(l.changes) - 1; last < 0 || l.changes[last].text != text {
		l.changes = append(l.changes, now)
	}
}

// NotReady is when the cluster was not Ready for the first time since some moment, with a
// message that contains one of these texts, or any: at that moment, if it was so already.
func (l *Timeline) NotReady(since time.Time, texts ...string) (at time.Time, text string, err error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for i, change := range l.changes {
		over := i+1 < len(l.changes) && !l.changes[i+1].at.After(since)
		if !change.ready && !over && change.says(texts) {
			return slices.MaxFunc([]time.Time{change.at, since}, time.Time.Compare), change.text, l.err
		}
	}
	return time.Time{}, "", errors.Join(fmt.Errorf("no condition Ready=False with %q since %s, but %+v",
		texts, since.Format(time.TimeOnly), l.changes[max(0, len(l.changes)-3):]), l.err)
}

func (c change) says(texts []string) bool {
	return len(texts) == 0 || slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(c.text, text) })
}

// Stable is since when the cluster is Ready.
func (l *Timeline) Stable() (since time.Time, err error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, change := range slices.Backward(l.changes) {
		if !change.ready {
			break
		}
		since = change.at
	}
	if since.IsZero() {
		err = errors.Join(fmt.Errorf("condition Ready is %+v", l.changes[max(0, len(l.changes)-1):]), l.err)
	}
	return since, err
}

// Lapses are the changes to Ready between two moments.
func (l *Timeline) Lapses(from, to time.Time) (lapses []string) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, change := range l.changes {
		if change.ready && change.at.After(from) && change.at.Before(to) {
			lapses = append(lapses, change.at.UTC().Format(time.TimeOnly)+" "+change.text)
		}
	}
	return lapses
}
