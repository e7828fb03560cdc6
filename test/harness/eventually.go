package harness

import (
	"testing"
	"time"
)

// Eventually calls try until it returns nil, for ten seconds at most. Then it fails
// the test with the last error.
func Eventually(t *testing.T, try func() error) {
	t.Helper()
	Within(t, 10*time.Second, try)
}

// Within is [Eventually] with another patience.
func Within(t *testing.T, patience time.Duration, try func() error) {
	t.Helper()
	if err := TryWithin(patience, try); err != nil {
		t.Fatal(err)
	}
}

// TryWithin calls try every 5 ms until it returns nil. When there is no more time,
// it returns the last error.
func TryWithin(patience time.Duration, try func() error) error {
	deadline, tick := time.After(patience), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline:
			return err
		}
	}
}
