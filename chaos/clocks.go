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

// The clock of a Go program cannot be set wrong from outside: it reads it
// without the C library. So a second lonja is built, with time.Now changed and
// nothing else, and told by its environment how wrong its clock is. What is
// measured rather than told, timeouts for instance, goes by the monotonic clock
// and stays right, as it does when a real clock is set.

const (
	clockVariable = "CHAOS_CLOCK"
	// What time.Now begins with, and what is put in its place.
	rightClock = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	wrongClock = "func Now() Time {\n\tsec, nsec, mono := wrong(runtimeNow())\n"
	// The variable holds offsets in seconds, with a comma behind each: the clock
	// goes by the first for a second, then by the second, and so on, around.
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

// clocks are how wrong whose clock is: by the parts' names, in seconds.
type clocks map[string][]int64

// variables are the environment of a part.
func (c clocks) variables(part string) []string {
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

// allWrong is a shop in which nobody's clock is right. What signs access tokens
// and what verifies them stay within the minute that tokens tolerate.
var allWrong = clocks{
	"orders-a": {hour}, "orders-b": {-hour},
	"inventory-a": {-hour}, "inventory-b": {0, hour, -hour},
	"payments-a": {hour, 0, -hour, 20}, "payments-b": {-hour},
	"catalog-a": {0, -hour}, "catalog-b": {hour},
	"identity-a": {25}, "identity-b": {-25},
	"gateway-1": {-25}, "gateway-2": {0, 25, -25},
}

// withWrongNow is the source of package time, changed.
func withWrongNow(source []byte) ([]byte, error) {
	if n := bytes.Count(source, []byte(rightClock)); n != 1 {
		return nil, fmt.Errorf("there are %d functions Now that begin as chaos knows it, not one: look at it in this version of Go, and mend rightClock and wrongClock in chaos/clocks.go", n)
	}
	return bytes.Replace(source, []byte(rightClock), []byte(wrongClock), 1), nil
}

// buildWithClock builds a program whose clock can be wrong.
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

// clocksWrong lets the shop trade by its wrong clocks, and makes sure that they
// were wrong.
func clocksWrong(ctx context.Context, t *trial) {
	pause(ctx, t.options.load)
	log, err := readLog(ctx, t.js)
	if !t.must(err) {
		return
	}
	last, back := map[string]time.Time{}, map[string]int{}
	for _, f := range log.all {
		if f.time.Before(last[f.stream].Add(-time.Hour / 2)) {
			back[f.stream]++
		}
		last[f.stream] = f.time
	}
	for _, stream := range slices.Sorted(maps.Keys(last)) {
		t.measured("time went back %d times on %s", back[stream], stream)
		if back[stream] == 0 {
			t.wrong("no clock was wrong on %s: nothing was tested", stream)
		}
	}
}
