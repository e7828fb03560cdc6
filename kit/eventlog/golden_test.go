package eventlog_test

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/kit/eventlog"
	"lonja/kit/kittest"
)

// The golden files hold stored events: the subject, the sorted headers and the body. They
// must never change, since existing logs hold events like them.
const (
	golden = "testdata/event.small.golden" // as the log writes them
	older  = "testdata/event.golden"       // as it wrote them when everything was stored
)

var sentAt = time.Date(2026, 2, 3, 4, 5, 6, 789_000, time.UTC)

const commandID = "0198f3c2-7c1e-7d50-a4a2-0123456789ab"

func TestAppend_StoresTheBytesOfTheGoldenEvent(t *testing.T) {
	log := kittest.New(t)
	env := eventlog.Envelope{
		ID: eventlog.EventID(commandID), Source: "lonja/counters", Time: sentAt, Causation: commandID, Correlation: commandID,
		Actor: eventlog.Actor{ID: "usr_ana"}, RequestHash: "00ff", Trace: eventlog.TraceOf(commandID),
	}
	appended, err := log.Append(t.Context(), kittest.Stream, filter, 0, env, kittest.Added{Counter: "c", By: 3})
	if err != nil {
		t.Fatal(err)
	}
	r := at(t, log, appended.Sequence)
	if got := text(r); got != readFile(t, golden) {
		t.Errorf("stored is\n%s\nwant\n%s", got, readFile(t, golden))
	}
	// What is not stored is the same again when the event is read.
	env.Type = "kittest.counter.added.v1"
	if !reflect.DeepEqual(r.Envelope, env) || !reflect.DeepEqual(appended.Envelope, env) {
		t.Errorf("appended %+v\nand read %+v\nwant     %+v", appended.Envelope, r.Envelope, env)
	}
	// Fields that are empty give no headers.
	appended, err = log.Append(t.Context(), kittest.Stream, filter, r.Sequence, eventlog.Envelope{ID: "e", Causation: "w"}, kittest.Added{Counter: "c", By: 3})
	if err != nil {
		t.Fatal(err)
	}
	const short = `events.counter.c.added
Nats-Expected-Last-Subject-Sequence: 1
Nats-Expected-Last-Subject-Sequence-Subject: events.counter.c.>
_watermill_message_uuid: e
ce-causationid: w
ce-id: e
ce-specversion: 1.0
ce-type: kittest.counter.added.v1

{"counter":"c","by":3}
`
	if got := text(at(t, log, appended.Sequence)); got != short {
		t.Errorf("stored is\n%s\nwant\n%s", got, short)
	}
}

// An event whose correlation or trace follows from nothing else stores it.
func TestAppend_KeepsWhatDoesNotFollow(t *testing.T) {
	log := kittest.New(t)
	const sent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	seq := uint64(0)
	for _, test := range []struct {
		correlation, trace string // of the event
		stores             []string
	}{
		{"story-1", sent, []string{"ce-correlationid: story-1\n", "traceparent: " + sent + "\n"}},
		{"story-1", eventlog.TraceOf("story-1"), []string{"ce-correlationid: story-1\n"}},
		{"cause-1", sent, []string{"traceparent: " + sent + "\n"}},
		{"cause-1", eventlog.TraceOf("cause-1"), nil},
	} {
		env := eventlog.Envelope{ID: "e", Causation: "cause-1", Correlation: test.correlation, Trace: test.trace}
		appended, err := log.Append(t.Context(), kittest.Stream, filter, seq, env, kittest.Added{Counter: "c", By: 3})
		if err != nil {
			t.Fatal(err)
		}
		seq = appended.Sequence
		r := at(t, log, seq)
		if r.Correlation != test.correlation || r.Trace != test.trace {
			t.Errorf("correlation %s, trace %s; want %s, %s", r.Correlation, r.Trace, test.correlation, test.trace)
		}
		stored := text(r)
		if n := strings.Count(stored, "ce-correlationid:") + strings.Count(stored, "traceparent:"); n != len(test.stores) {
			t.Errorf("%d headers, not %q:\n%s", n, test.stores, stored)
		}
		for _, want := range test.stores {
			if !strings.Contains(stored, want) {
				t.Errorf("stored is\n%s\nwithout %s", stored, want)
			}
		}
	}
}

func TestRead_ReadsEventsOfEarlierVersions(t *testing.T) {
	log := kittest.New(t)
	head, body, _ := strings.Cut(readFile(t, older), "\n\n")
	lines := strings.Split(head, "\n")
	m := &nats.Msg{Subject: lines[0], Header: nats.Header{}, Data: []byte(strings.TrimSpace(body))}
	for _, line := range lines[1:] {
		key, value, _ := strings.Cut(line, ": ")
		m.Header[key] = []string{value}
	}
	if _, err := log.JS.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	r := at(t, log, 1)
	want := eventlog.Envelope{
		ID: "0198f3c2-7c1e-7d50-a4a2-0123456789ab", Type: "kittest.counter.added.v1", Source: "lonja/counters", Time: sentAt,
		Causation: "cause-1", Correlation: "story-1", Actor: eventlog.Actor{ID: "usr_ana"}, RequestHash: "00ff",
		Trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
	if r.Err != nil || !reflect.DeepEqual(r.Envelope, want) || r.Event != (kittest.Added{Counter: "c", By: 3}) {
		t.Errorf("read %+v, %+v, %v", r.Envelope, r.Event, r.Err)
	}
}

func at(t *testing.T, log *kittest.Log, seq uint64) eventlog.Record {
	t.Helper()
	r, err := log.At(t.Context(), kittest.Stream, seq)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// stored returns the message at a sequence as text.
func stored(t *testing.T, log *kittest.Log, seq uint64) string {
	t.Helper()
	return text(at(t, log, seq))
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
