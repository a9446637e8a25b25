package status

import (
	"fmt"
	"time"
)

// timeLeft is a duration for people, so coarse that it seldom changes: days
// from two days on, hours from two hours on, else minutes in tens.
func timeLeft(left time.Duration) string {
	switch {
	case left <= 0:
		return "expired"
	case left >= 48*time.Hour:
		return fmt.Sprintf("%dd", left/(24*time.Hour))
	case left >= 2*time.Hour:
		return fmt.Sprintf("%dh", left/time.Hour)
	default:
		return fmt.Sprintf("%dm", left.Truncate(10*time.Minute)/time.Minute)
	}
}

// untilTimeLeftChanges is how long timeLeft returns the same.
func untilTimeLeftChanges(left time.Duration) time.Duration {
	step := 10 * time.Minute
	switch {
	case left <= 0:
		return 0
	case left >= 48*time.Hour:
		step = 24 * time.Hour
	case left >= 2*time.Hour:
		step = time.Hour
	}
	return left%step + time.Second
}
