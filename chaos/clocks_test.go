package main

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestClock_IsWrongByItsOffsets(t *testing.T) {
	program, err := buildWithClock(t.Context(), t.TempDir(), "lonja/chaos/testdata/clock")
	if err != nil {
		t.Fatal(err)
	}
	wrong := clockOffsets{"ahead": {hour}, "behind": {-hour}, "both": {-hour, -hour - 10}}
	for part, want := range map[string][2]int64{"ahead": {hour, hour}, "behind": {-hour, -hour}, "both": {-hour - 10, -hour}, "right": {0, 0}} {
		cmd := exec.Command(program)
		cmd.Env = append(os.Environ(), wrong.variables(part)...)
		before := time.Now().Unix()
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		var now, took int64
		if _, err := fmt.Sscan(string(out), &now, &took); err != nil {
			t.Fatalf("%s: %v in %q", part, err, out)
		}
		if now < before+want[0] || now > time.Now().Unix()+want[1] {
			t.Errorf("%s: the clock was off by %d s", part, now-before)
		}
		if took < 100 || took > 10_000 {
			t.Errorf("%s: a tenth of a second took %d ms", part, took)
		}
	}
}

func TestClock_RejectsAnUnknownTimePackage(t *testing.T) {
	for _, source := range []string{"package time\n", rightClock + rightClock} {
		if changed, err := withWrongNow([]byte(source)); err == nil {
			t.Errorf("changed to %s", changed)
		}
	}
}
