package apply

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

const (
	// contestedAfter is how often in a row an object is restored at once. Then another
	// manager, rather than a person, changes it.
	contestedAfter = 5
	// firstPause is how long a contested object is left as it is. It doubles each time.
	firstPause, longestPause = 10 * time.Second, 10 * time.Minute
	// calm is how long after a pause an object has to stay as it is.
	calm = time.Minute
	// maxFields is how many contested fields are reported.
	maxFields = 3
)

// contests are those of the objects of a cluster.
type contests map[objectID]state.Contest

func (a *Applier) contestsOf(observed state.State) contests {
	known, _ := a.contests.LoadOrStore(client.ObjectKeyFromObject(observed.Cluster), contests{})
	return known.(contests)
}

// Contests are the objects that somebody changes again and again.
func (a *Applier) Contests(observed state.State) []state.Contest {
	var all []state.Contest
	for _, contest := range a.contestsOf(observed) {
		if contest.Restored >= contestedAfter && observed.Now.Before(contest.Over) {
			all = append(all, contest)
		}
	}
	slices.SortFunc(all, func(a, b state.Contest) int { return strings.Compare(a.Object, b.Object) })
	return all
}

// restored counts a restoration of an object. One after the contest is over begins another.
func (c contests) restored(id objectID, managers []string, fields *fieldpath.Set, now time.Time) {
	contest := c[id]
	if !now.Before(contest.Over) {
		contest = state.Contest{Object: id.kind + " " + id.name}
	}
	contest.Restored++
	contest.Managers, contest.Fields = managers, namesOf(fields)
	contest.Again = now.Add(pauseAfter(contest.Restored))
	contest.Over = contest.Again.Add(calm)
	c[id] = contest
}

// cookieField is what is restored of the cookie's Secret.
var cookieField = fieldpath.NewSet(fieldpath.MakePathOrDie("data", "cookie"))

// editors are the managers other than ours of the content of an object.
func editors(object metav1.Object) []string {
	var managers []string
	for _, entry := range object.GetManagedFields() {
		if content, err := foreignContent(entry); err == nil && !content.Empty() && entry.Manager != FieldOwner {
			managers = append(managers, entry.Manager)
		}
	}
	return managers
}

func pauseAfter(restored int) time.Duration {
	if restored < contestedAfter {
		return 0
	}
	return min(firstPause<<min(restored-contestedAfter, 10), longestPause)
}

// namesOf are the innermost fields of a set, as kubectl explain takes them.
func namesOf(fields *fieldpath.Set) []string {
	var names []string
	fields.Leaves().Iterate(func(path fieldpath.Path) {
		if len(names) < maxFields {
			names = append(names, strings.TrimPrefix(path.String(), "."))
		}
	})
	return names
}
