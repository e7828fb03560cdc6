package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Go program reads the clock without the C library, so its clock cannot be
// changed from outside. Instead, a second lonja is built whose time.Now adds an
// offset from the environment; nothing else is changed. Durations, such as
// timeouts, use the monotonic clock and stay right, as they do when a real clock is
// set.

const (
	clockVariable = "CHAOS_CLOCK"
	// The beginning of time.Now, and its replacement.
	rightClock = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	wrongClock = "func Now() Time {\n\tsec, nsec, mono := wrong(runtimeNow())\n"
	// The variable holds offsets in seconds, each followed by a comma. The clock uses
	// each offset for one second, in turn.
	clockSource = `package time

import "syscall"

var wrongBy = func() (list []int64) {
	text, _ := syscall.Getenv("` + clockVariable + `")
	n, sign := int64(0), int64(1)
	for _, c := range text {
		switch c {
		case '-':
			sign = -1
		case ',':
			list = append(list, sign*n)
			n, sign = 0, 1
		default:
			n = 10*n + int64(c-'0')
		}
	}
	return list
}()

func wrong(sec int64, nsec int32, mono int64) (int64, int32, int64) {
	if len(wrongBy) > 0 {
		sec += wrongBy[sec%int64(len(wrongBy))]
	}
	return sec, nsec, mono
}
`
)

// clockOffsets holds the offsets of the parts' clocks in seconds, by the part's name.
type clockOffsets map[string][]int64

// variables returns the environment variables of a part.
func (c clockOffsets) variables(part string) []string {
	if len(c[part]) == 0 {
		return nil
	}
	value := clockVariable + "="
	for _, seconds := range c[part] {
		value += fmt.Sprintf("%d,", seconds)
	}
	return []string{value}
}

const hour = 60 * 60

// wrongClocks makes every clock of a shop wrong. Identity, which signs access
// tokens, and the gateways, which verify them, stay within the minute that tokens
// tolerate.
var wrongClocks = clockOffsets{
	"orders-a": {hour}, "orders-b": {-hour},
	"inventory-a": {-hour}, "inventory-b": {0, hour, -hour},
	"payments-a": {hour, 0, -hour, 20}, "payments-b": {-hour},
	"catalog-a": {0, -hour}, "catalog-b": {hour},
	"identity-a": {25}, "identity-b": {-25},
	"gateway-1": {-25}, "gateway-2": {0, 25, -25},
}

// withWrongNow returns the source of package time with time.Now replaced.
func withWrongNow(source []byte) ([]byte, error) {
	if n := bytes.Count(source, []byte(rightClock)); n != 1 {
		return nil, fmt.Errorf("found time.Now in the known form %d times, not once: adapt rightClock and wrongClock in chaos/clocks.go to this version of Go", n)
	}
	return bytes.Replace(source, []byte(rightClock), []byte(wrongClock), 1), nil
}

// buildWithClock builds a program whose clock can be given an offset.
func buildWithClock(ctx context.Context, dir, of string) (program string, err error) {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	own := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	source, err := os.ReadFile(filepath.Join(own, "time.go"))
	if err != nil {
		return "", err
	}
	if source, err = withWrongNow(source); err != nil {
		return "", fmt.Errorf("%s: %w", own, err)
	}
	changed, added, overlay := filepath.Join(dir, "time.go"), filepath.Join(dir, "wrong.go"), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(own, "time.go"):  changed,
		filepath.Join(own, "wrong.go"): added,
	}})
	if err != nil {
		return "", err
	}
	for path, data := range map[string][]byte{changed: source, added: []byte(clockSource), overlay: replace} {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return "", err
		}
	}
	return goBuild(ctx, filepath.Join(dir, "with-clock"), of, "-overlay", overlay)
}

// clocksWrong runs the load with wrong clocks, and checks that the log shows it.
func clocksWrong(ctx context.Context, t *trial) {
	pause(ctx, t.options.duration)
	log, err := readLog(ctx, t.js)
	if !t.must(err) {
		return
	}
	last, restarts := map[string]time.Time{}, map[string]int{}
	for _, f := range log.all {
		if f.time.Before(last[f.stream].Add(-time.Hour / 2)) {
			restarts[f.stream]++
		}
		last[f.stream] = f.time
	}
	for _, stream := range slices.Sorted(maps.Keys(last)) {
		t.record("time went back %d times on %s", restarts[stream], stream)
		if restarts[stream] == 0 {
			t.fail("no clock was wrong on %s: nothing was tested", stream)
		}
	}
}
