package eventlog_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/kit/eventlog"
	"lonja/kit/kittest"
)

// golden is a file with a stored event: its subject, its sorted headers and its body. The
// file must never change: existing logs hold events like it, which were written before the
// log had a Watermill publisher.
const golden = "testdata/event.golden"

func TestAppend_StoresTheBytesOfTheGoldenEvent(t *testing.T) {
	log := kittest.New(t)
	env := eventlog.Envelope{
		ID: "0198f3c2-7c1e-7d50-a4a2-0123456789ab", Source: "lonja/counters", Time: time.Date(2026, 2, 3, 4, 5, 6, 789_000, time.UTC),
		Causation: "cause-1", Correlation: "story-1", Actor: eventlog.Actor{ID: "usr_ana"}, RequestHash: "00ff",
		Trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
	r, err := log.Append(t.Context(), kittest.Stream, filter, 0, env, kittest.Added{Counter: "c", By: 3})
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got := stored(t, log, r.Sequence); got != string(want) {
		t.Errorf("stored is\n%s\nwant\n%s", got, want)
	}
	// Fields that are empty give no headers.
	r, err = log.Append(t.Context(), kittest.Stream, filter, r.Sequence, eventlog.Envelope{ID: "e", Causation: "w"}, kittest.Added{Counter: "c", By: 3})
	if err != nil {
		t.Fatal(err)
	}
	const short = `events.counter.c.added
Nats-Expected-Last-Subject-Sequence: 1
Nats-Expected-Last-Subject-Sequence-Subject: events.counter.c.>
Nats-Expected-Stream: COUNTERS
Nats-Msg-Id: e
_watermill_message_uuid: e
ce-causationid: w
ce-id: e
ce-specversion: 1.0
ce-type: kittest.counter.added.v1

{"counter":"c","by":3}
`
	if got := stored(t, log, r.Sequence); got != short {
		t.Errorf("stored is\n%s\nwant\n%s", got, short)
	}
}

// stored returns the message at a sequence as text.
func stored(t *testing.T, log *kittest.Log, seq uint64) string {
	t.Helper()
	r, err := log.At(t.Context(), kittest.Stream, seq)
	if err != nil {
		t.Fatal(err)
	}
	return text(r)
}

func text(r eventlog.Record) string {
	lines := []string{r.Subject}
	for _, key := range slices.Sorted(maps.Keys(map[string][]string(r.Headers))) {
		for _, value := range nats.Header(r.Headers)[key] {
			lines = append(lines, key+": "+value)
		}
	}
	return fmt.Sprintf("%s\n\n%s\n", strings.Join(lines, "\n"), r.Data)
}
