package decider

import (
	"testing"
	"time"
)

// An effect is later than its cause, unless one of their clocks is plainly wrong.
func TestCommand_IsDecidedAfterItsCause(t *testing.T) {
	noon := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for cause, want := range map[time.Duration]time.Duration{
		-time.Hour:             0,
		-time.Microsecond:      0,
		0:                      time.Microsecond,
		3 * time.Millisecond:   3*time.Millisecond + time.Microsecond,
		999 * time.Millisecond: 999*time.Millisecond + time.Microsecond,
		time.Second:            0,
		time.Hour:              0,
	} {
		if got := (Command{Cause: noon.Add(cause)}).now(noon); !got.Equal(noon.Add(want)) {
			t.Errorf("the cause is %v ahead: %v", cause, got.Sub(noon))
		}
	}
	if got := (Command{}).now(noon.Add(time.Nanosecond)); !got.Equal(noon) {
		t.Errorf("without a cause it is %v", got)
	}
}
