package retry

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestDo(t *testing.T) {
	pauses = []time.Duration{0, 0, 0}
	broken := errors.New("connection reset by peer")
	for name, test := range map[string]struct {
		failures, tries int
		err             error
	}{
		"at once":              {0, 1, nil},
		"after three failures": {3, 4, nil},
		"never":                {9, 4, broken},
	} {
		tries := 0
		err := Do(t.Context(), name, func() error {
			if tries++; tries <= test.failures {
				return broken
			}
			return nil
		})
		if tries != test.tries || !errors.Is(err, test.err) {
			t.Errorf("%s: %v after %d tries, want %v after %d", name, err, tries, test.err, test.tries)
		}
	}
}

func TestDoEndsWhenItIsInterrupted(t *testing.T) {
	pauses = []time.Duration{time.Hour}
	interrupted := errors.New("interrupted")
	for _, when := range []time.Duration{0, 50 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), when)
		defer cancel()
		if err := Do(ctx, "wait", func() error { return interrupted }); !errors.Is(err, interrupted) {
			t.Errorf("interrupted after %s: %v", when, err)
		}
	}
}
