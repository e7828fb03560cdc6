package audit

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lonja/events"
	"lonja/kit/eventlog"
	"lonja/shop/shoptest"
)

// saved records events, and returns the file of an audit that found nothing in them.
func (s *fixture) saved(given ...events.Event) string {
	s.t.Helper()
	s.record(given...)
	file := filepath.Join(s.t.TempDir(), "state")
	if r := s.auditWith(file, ""); !r.Saved {
		s.t.Fatalf("not saved: %v", r.Violations)
	}
	return file
}

// since audits from a file, which must fail with a message.
func (s *fixture) sinceFails(file, message string) {
	s.t.Helper()
	state, err := LoadState(file)
	if err == nil {
		_, err = Run(s.t.Context(), Config{JetStream: s.JS, Codec: shoptest.Codec, Streams: s.Streams, Since: state})
	}
	if !errors.Is(err, ErrState) || !strings.Contains(err.Error(), message) {
		s.t.Errorf("want an error with %q, got %v", message, err)
	}
}

func TestSince_ReadsOnlyWhatCameAfter(t *testing.T) {
	s := newFixture(t)
	file := s.saved(bought...)
	s.record(orderShipped, orderDelivered)
	again := filepath.Join(t.TempDir(), "again")
	r := s.auditWith(again, file)
	want(t, r)
	read := map[string]uint64{}
	for _, stream := range r.Streams {
		read[stream.Stream] = stream.Events
	}
	if read["INVENTORY"] != 0 || read["ORDERS"] != 2 || read["CATALOG"] != 0 || read["PAYMENTS"] != 0 || r.Orders["delivered"] != 1 || !r.Saved {
		t.Errorf("read %v, orders %v, saved %t", read, r.Orders, r.Saved)
	}
	// The state of an audit that went on is as good as that of one from the beginning.
	fromStart := filepath.Join(t.TempDir(), "from-start")
	if s.auditWith(fromStart, ""); !sameState(t, again, fromStart) {
		t.Error("the states differ")
	}
	s.record(orderShipped)
	want(t, s.auditWith("", again), "transitions: ORDERS:6 order ord_1: shipped after delivered; expected after paid")
}

// sameState compares two files record by record, in any order.
func sameState(t *testing.T, a, b string) bool {
	t.Helper()
	count := func(file string) map[string]int {
		state, err := LoadState(file)
		if err != nil {
			t.Fatal(err)
		}
		records := map[string]int{}
		if err := state.each(func(kind byte, record []byte) error {
			if kind != isKnown {
				records[string(kind)+string(record)]++
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		records[fmt.Sprintf("%+v", state.marks)]++
		return records
	}
	is, other := count(a), count(b)
	for record, n := range is {
		if other[record] != n {
			return false
		}
	}
	return len(is) == len(other) && len(is) > 5
}

func TestSince_FindsIDsThatWereUsedBefore(t *testing.T) {
	for name, ids := range map[string][4]string{ // event and command of the first, then of the second
		"the event's own": {eventlog.NewID(), eventlog.NewID(), "", eventlog.NewID()},
		"the command's":   {eventlog.NewID(), eventlog.NewID(), eventlog.NewID(), ""},
		"a derived one":   {eventlog.EventID("command"), "command", "", eventlog.NewID()},
		"its command's":   {eventlog.EventID("command"), "command", eventlog.NewID(), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			s.recordAs(productCreated, ids[0], ids[1])
			file := s.saved()
			line := fmt.Sprintf("once: INVENTORY:1 stock main: has the id %s, which CATALOG:1 has too", ids[0])
			if ids[2] == "" {
				ids[2] = ids[0]
			} else {
				ids[3] = ids[1]
				line = fmt.Sprintf("once: INVENTORY:1 stock main: was caused by command %s, which already had an effect at CATALOG:1; a command has at most one", ids[1])
			}
			s.recordAs(stockCounted(1, 0), ids[2], ids[3])
			want(t, s.audit(false, ""), line)
			want(t, s.auditWith("", file), line)
		})
	}
}

func TestSave_WritesNothingWhenTheLogIsWrong(t *testing.T) {
	s := newFixture(t)
	s.record(orderPlaced)
	dir := t.TempDir()
	r := s.auditWith(filepath.Join(dir, "state"), "")
	left, err := os.ReadDir(dir)
	if r.Saved || r.Total() == 0 || err != nil || len(left) > 0 {
		t.Errorf("saved %t with %d violations; left %v, %v", r.Saved, r.Total(), left, err)
	}
}

func TestSince_RefusesAnotherLog(t *testing.T) {
	s := newFixture(t)
	file := s.saved(ordered...)
	other := newFixture(t)
	other.record(ordered...)
	other.sinceFails(file, "stream CATALOG, created")
	newFixture(t).sinceFails(file, "stream CATALOG at 1")
}

// The stream is as old and as long, but another message is where the audit ended.
func TestSince_RefusesAChangedMessage(t *testing.T) {
	s := newFixture(t)
	file := s.saved(ordered...)
	state, err := LoadState(file)
	if err != nil {
		t.Fatal(err)
	}
	state.marks[1].Digest = strings.Repeat("0", len(state.marks[1].Digest))
	_, err = Run(t.Context(), Config{JetStream: s.JS, Codec: shoptest.Codec, Streams: s.Streams, Since: state})
	if !errors.Is(err, ErrState) || !strings.Contains(err.Error(), "stream INVENTORY, created") {
		t.Errorf("got %v", err)
	}
}

func TestLoadState_RefusesADamagedFile(t *testing.T) {
	s := newFixture(t)
	file := s.saved(ordered...)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write := func(data []byte) {
		t.Helper()
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for at := range data {
		changed := bytes.Clone(data)
		changed[at] ^= 1
		write(changed)
		if _, err := LoadState(file); !errors.Is(err, ErrState) {
			t.Fatalf("changed at byte %d of %d: %v", at, len(data), err)
		}
	}
	for _, n := range []int{0, 1, len(magic), len(data) / 2, len(data) - 1} {
		write(data[:n])
		if _, err := LoadState(file); !errors.Is(err, ErrState) {
			t.Errorf("cut off after %d of %d bytes: %v", n, len(data), err)
		}
	}
	if _, err := LoadState(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// A partition comes back as it was added, whether it went through the file or not.
func TestSpill_ReturnsWhatWasAdded(t *testing.T) {
	s := newSpill(10 * partSize)
	defer s.close()
	if len(s.parts) != minParts {
		t.Fatalf("%d partitions", len(s.parts))
	}
	const records = 100_000
	for n := range uint64(records) {
		if err := s.add(n, append(binary.BigEndian.AppendUint64(nil, n), make([]byte, n%50)...)); err != nil {
			t.Fatal(err)
		}
	}
	if s.file == nil {
		t.Fatal("nothing was spilled")
	}
	seen, part := uint64(0), uint64(0)
	if err := s.eachPart(func(all [][]byte) error {
		for i, r := range all {
			if n := binary.BigEndian.Uint64(r); n != part+uint64(i)*minParts || len(r) != 8+int(n%50) {
				return fmt.Errorf("record %d of partition %d is %d, with %d bytes", i, part, n, len(r))
			}
		}
		seen += uint64(len(all))
		part++
		return nil
	}); err != nil || seen != records {
		t.Errorf("%d records: %v", seen, err)
	}
}

func TestRun_ShowsItsProgress(t *testing.T) {
	s := newFixture(t)
	for n := range 3_000 {
		e := productCreated
		e.SKU = events.SKU(fmt.Sprint("sku", n))
		s.record(e)
	}
	var at []uint64
	_, err := Run(context.WithoutCancel(t.Context()), Config{JetStream: s.JS, Codec: shoptest.Codec, Streams: s.Streams,
		OnProgress: func(read, of uint64) {
			if at = append(at, read); of != 3_000 {
				t.Errorf("%d of %d", read, of)
			}
		}})
	if err != nil || len(at) != 2 || at[0] != 1024 || at[1] != 2048 {
		t.Errorf("progress %v, %v", at, err)
	}
}
