package status

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTimeLeft(t *testing.T) {
	const day = 24 * time.Hour
	for left, want := range map[time.Duration]string{
		-time.Second:                "expired",
		0:                           "expired",
		time.Second:                 "0m",
		9*time.Minute + time.Second: "0m",
		10 * time.Minute:            "10m",
		119 * time.Minute:           "110m",
		2 * time.Hour:               "2h",
		48*time.Hour - 1:            "47h",
		2 * day:                     "2d",
		30*day - 1:                  "29d",
		36500 * day:                 "36500d",
	} {
		if got := timeLeft(left); got != want {
			t.Errorf("timeLeft(%s) = %q, want %q", left, got, want)
		}
	}
}

// The status is written again when it reads otherwise, and not before.
func TestUntilReadsOtherwise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		left := time.Duration(rapid.Int64Range(1, int64(4000*time.Hour)).Draw(t, "left"))
		wait := untilTimeLeftChanges(left)
		if before := left - wait + time.Second + 1; timeLeft(before) != timeLeft(left) {
			t.Fatalf("%s reads %q; a second before the wait of %s is over, it reads %q", left, timeLeft(left), wait, timeLeft(before))
		}
		if timeLeft(left-wait) == timeLeft(left) {
			t.Fatalf("%s reads %q, and after the wait of %s still", left, timeLeft(left), wait)
		}
	})
}
