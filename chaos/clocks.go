package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"lonja/events"
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

// clocksWrong runs the load with wrong clocks, and checks that nothing follows from them: every
// event has the time of the NATS server, and what expires does so in time by that.
func clocksWrong(ctx context.Context, t *trial) {
	began := time.Now()
	pause(ctx, t.options.duration)
	t.load.wait()
	t.checkWrongClocks(began)
	var log *eventLog
	err := eventually(ctx, restTimeout, func() (err error) {
		if log, err = readLog(ctx, t.js); err != nil {
			return err
		}
		return log.pending()
	})
	if !t.must(err) {
		return
	}
	var furthest time.Duration
	for _, e := range log.all {
		if off := e.time.Sub(e.stored).Abs(); off > furthest {
			furthest = off
		}
	}
	t.record("the times of %d events are within %v of the server's", len(log.all), furthest.Round(time.Millisecond))
	if furthest > 30*time.Second {
		t.fail("an event's time is %v off", furthest)
	}
	t.checkExpiry("payments", log, "payment.requested", "payment.expired")
	t.checkExpiry("reservations", log, "stock.reserved", "stock.released")
}

// pending returns an error if a payment still waits for its money or its deadline.
func (log *eventLog) pending() error {
	last := map[string]string{}
	for _, e := range log.all {
		if e.stream == "PAYMENTS" && e.data != nil {
			last[e.data.EntityID()] = e.typ
		}
	}
	for id, typ := range last {
		if typ == "payment.requested" {
			return fmt.Errorf("%s is still pending", id)
		}
	}
	return nil
}

// checkWrongClocks checks, by what they log, that the clocks are wrong that always are.
func (t *trial) checkWrongClocks(began time.Time) {
	for part, offsets := range wrongClocks {
		if slices.ContainsFunc(offsets, func(seconds int64) bool { return seconds != hour && seconds != -hour }) {
			continue
		}
		out, err := os.ReadFile(t.parts[part].log)
		if !t.must(err) {
			return
		}
		_, rest, _ := strings.Cut(string(out), "time=")
		text, _, _ := strings.Cut(rest, " ")
		logged, err := time.Parse(time.RFC3339Nano, text)
		if err != nil || logged.Sub(began).Abs() < hour/2*time.Second {
			t.fail("the clock of %s is not wrong (%q): nothing was tested", part, text)
		}
	}
}

// lateExpiry is how long after its time something may expire under load.
const lateExpiry = 15 * time.Second

// checkExpiry checks when what one event set a time for expired, by the server's clock.
func (t *trial) checkExpiry(what string, log *eventLog, set, expired string) {
	due, count, latest := map[string]time.Time{}, 0, time.Duration(0)
	for _, e := range log.all {
		of, is := e.data.(events.OfOrder)
		if !is {
			continue
		}
		order := string(of.Order())
		switch data := e.data.(type) {
		case events.PaymentRequested:
			if e.typ == set {
				due[order] = data.ExpiresAt
			}
		case events.StockReserved:
			if e.typ == set {
				due[order] = data.ExpiresAt
			}
		case events.StockReleased:
			if data.Reason != events.ReleasedExpired {
				continue
			}
		}
		if e.typ != expired {
			continue
		}
		late := e.stored.Sub(due[order])
		if late < 0 || late > lateExpiry {
			t.fail("%s:%d expired %v after its time", e.stream, e.sequence, late)
		}
		count, latest = count+1, max(latest, late)
	}
	t.record("%d %s expired, none early, the last %v late", count, what, latest.Round(time.Millisecond))
	if count == 0 {
		t.fail("no %s expired: nothing was tested", what)
	}
}
