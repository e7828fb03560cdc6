package service

import (
	"testing"
	"time"
)

func TestPace_AStormOfTenThousandTakesTwoMinutesAtMost(t *testing.T) {
	lasts := time.Duration(0)
	for range 10_000 {
		lasts += interval(lasts)
	}
	if lasts < time.Minute || lasts > 2*time.Minute {
		t.Errorf("it takes %s", lasts)
	}
}

// A few events that are due together do not wait for long.
func TestPace_BeginsWithFiftyASecond(t *testing.T) {
	if got := interval(0); got != 20*time.Millisecond {
		t.Errorf("an event each %s", got)
	}
}

func TestPause_LeavesHalfOfTheTimeAndThenLess(t *testing.T) {
	for _, c := range []struct{ took, storm, want time.Duration }{
		{4 * time.Millisecond, 0, 4 * time.Millisecond},
		{4 * time.Millisecond, time.Minute, 2 * time.Millisecond},
		{4 * time.Millisecond, time.Hour, 0},
		{3 * time.Second, 0, maxPause},
	} {
		if got := pause(c.took, c.storm); got != c.want {
			t.Errorf("after %s, %s into a storm: %s, want %s", c.took, c.storm, got, c.want)
		}
	}
}
