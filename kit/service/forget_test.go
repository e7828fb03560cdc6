package service_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/service"
)

// leaves is what is added to a person's counter when they are to be forgotten.
const leaves = -1

// forgetful is a service that forgets whose counter leaves.
func forgetful() *service.Service {
	return &service.Service{Name: "forgetful", Reactions: []service.Reaction{{Consumer: "counters-echo", Handlers: []service.Handler{
		service.Forget(func(e kittest.Added) bus.Owner {
			if e.By != leaves {
				return bus.Owner{}
			}
			return bus.Owner{ID: e.Counter, Subjects: []string{"events.counter." + e.Counter + ".>"}}
		}),
	}}}}
}

// counting is the service of the counters, without reactions of its own.
func (f *fixture) counting() *service.Service {
	s := f.counters()
	s.Reactions = nil
	return s
}

// deferAs defers a command, and returns its id.
func (f *fixture) deferAs(actor string, cmd add) string {
	f.t.Helper()
	id := eventlog.NewID()
	if err := f.Defer(f.t.Context(), cmd, eventlog.Envelope{ID: id, Actor: eventlog.Actor{ID: actor}}); err != nil {
		f.t.Fatal(err)
	}
	return id
}

func (f *fixture) awaitOutcome(id, want string) {
	f.t.Helper()
	f.eventually(func() error {
		o, _, err := f.Outcome(f.t.Context(), id)
		if errs.Is(err, errs.NotFound) {
			o.Status, err = "", nil
		}
		if err == nil && o.Status != want {
			err = fmt.Errorf("the outcome of %s is %q, want %q", id, o.Status, want)
		}
		return err
	})
}

// awaitForgotten waits until the forgetful service has handled all events.
func (f *fixture) awaitForgotten() {
	f.t.Helper()
	f.eventually(func() error {
		consumer, err := f.log.JS.Consumer(f.t.Context(), kittest.Stream, "counters-echo")
		if err != nil {
			return err
		}
		if info := consumer.CachedInfo(); info.NumAckPending > 0 || info.NumPending > 0 {
			return fmt.Errorf("%d events are not handled, %d not delivered", info.NumAckPending, info.NumPending)
		}
		return nil
	})
}

// filesWith returns the server's files that contain a text.
func (f *fixture) filesWith(text string) (names []string) {
	f.t.Helper()
	err := filepath.WalkDir(f.log.Dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && d.IsDir() {
			return nil
		}
		data, err := os.ReadFile(path)
		if err == nil && bytes.Contains(data, []byte(text)) {
			names = append(names, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it was just replaced
		}
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return names
}

func newForgetting(t *testing.T) *fixture {
	f := newFixture(t)
	f.clock = func() time.Time { return time.Now().Add(time.Minute) } // so that no command is still on its way
	return f
}

func TestForget_ErasesDeferredCommandsButNotPendingOnes(t *testing.T) {
	f := newForgetting(t)
	stop := f.run(f.counting())
	rejected, others := f.deferAs("ana", add{"ana-marker", 100}), f.deferAs("bob", add{"bob-marker", 100})
	f.awaitOutcome(rejected, bus.OutcomeRejected)
	f.awaitOutcome(others, bus.OutcomeRejected)
	stop()
	pending := f.deferAs("ana", add{"c", 5})
	if len(f.filesWith("ana-marker")) == 0 {
		t.Fatal("the server has not stored the command")
	}

	f.log.Add("ana", leaves)
	f.run(forgetful())
	f.awaitOutcome(rejected, "")
	f.awaitOutcome(pending, bus.OutcomePending)
	f.run(f.counting())
	f.awaitTotal("c", 5)
	f.awaitOutcome(pending, "")
	f.awaitForgotten()
	f.awaitOutcome(others, bus.OutcomeRejected)
	if names := f.filesWith("ana-marker"); len(names) > 0 {
		t.Errorf("%v hold the command that was erased", names)
	}
	if len(f.filesWith("bob-marker")) == 0 {
		t.Error("the command of somebody else was erased, too")
	}
	stream, err := f.log.JS.Stream(t.Context(), bus.DeferredStream)
	if err != nil || stream.CachedInfo().State.Msgs != 2 {
		t.Errorf("%+v is left, %v", stream.CachedInfo().State, err)
	}
}

// TestForget_ErasesWhatHasNoOutcome: there was no room for it.
func TestForget_ErasesACommandWhoseOutcomeWasNotStored(t *testing.T) {
	f := newForgetting(t)
	handled := f.deferAs("ana", add{"c", 5})
	f.run(f.counting())
	f.awaitOutcome(handled, bus.OutcomeDone)
	stream, err := f.log.JS.Stream(t.Context(), bus.DeferredStream)
	if err == nil {
		err = stream.Purge(t.Context(), jetstream.WithPurgeSubject(bus.OutcomeSubject(handled)))
	}
	if err != nil {
		t.Fatal(err)
	}
	f.log.Add("ana", leaves)
	f.run(forgetful())
	f.awaitOutcome(handled, "")
	f.awaitForgotten()
}

func TestForget_EmptiesDeadLettersOfTheOwnersEventsOnly(t *testing.T) {
	f := newForgetting(t)
	queue := bus.NewDeadLetterQueue(f.log.JS)
	seq := f.log.Add("ana", 5)
	id := f.deferAs("ana", add{"c", 1})
	command := bus.DeferredSubject("counters.add", id)
	for _, l := range []bus.DeadLetter{
		{Consumer: "counters-echo", Stream: kittest.Stream, Sequence: seq, Subject: "events.counter.ana.added"},
		{Consumer: "counters-retries", Stream: bus.RetryStream, Sequence: 7, Subject: bus.RetrySubject("counters", "counters-echo", kittest.Stream, fmt.Sprint(seq))},
		{Consumer: "counters-later", Stream: "TIMERS", Sequence: 3, Subject: "timers.due.counters-later.x", Headers: nats.Header{service.HeaderOriginal: {"events.counter.ana.added"}}},
		{Consumer: "counters-deferred", Stream: bus.DeferredStream, Sequence: 1, Subject: command, Headers: nats.Header{eventlog.HeaderActor: {"ana"}}},
		{Consumer: "counters-retries", Stream: bus.RetryStream, Sequence: 8, Subject: bus.RetrySubject("counters", "counters-deferred", bus.DeferredStream, "1"), Headers: nats.Header{eventlog.HeaderActor: {"ana"}}},
		{Consumer: "counters-echo", Stream: kittest.Stream, Sequence: 900, Subject: "events.counter.order.added", Headers: nats.Header{eventlog.HeaderActor: {"ana"}}},
		{Consumer: "counters-deferred", Stream: bus.DeferredStream, Sequence: 9, Subject: command, Headers: nats.Header{eventlog.HeaderActor: {"bob"}}},
	} {
		l.Reason, l.Data = "because of ana-marker", fmt.Sprintf(`{"counter":"ana-marker %d"}`, l.Sequence)
		if _, err := queue.Add(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	f.run(f.counting()) // handles the command
	f.awaitOutcome(id, bus.OutcomeDone)
	f.log.Add("ana", leaves)
	f.run(forgetful())
	f.awaitForgotten()

	left := map[string]bool{} // whether it has content
	for _, l := range f.awaitDeadLetters(5) {
		left[fmt.Sprintf("%s %s:%d", l.Consumer, l.Stream, l.Sequence)] = len(l.Data) > 0
	}
	want := map[string]bool{"counters-echo COUNTERS:" + fmt.Sprint(seq): false, "counters-retries RETRIES:7": false, "counters-later TIMERS:3": false,
		"counters-echo COUNTERS:900": true, "counters-deferred DEFERRED:9": true}
	if fmt.Sprint(left) != fmt.Sprint(want) {
		t.Errorf("dead letters with content: %v, want %v", left, want)
	}
	for _, gone := range []string{fmt.Sprintf("ana-marker %d", seq), "ana-marker 7", "ana-marker 3", `ana-marker 1"`, "ana-marker 8"} {
		if names := f.filesWith(gone); len(names) > 0 {
			t.Errorf("%v hold %q", names, gone)
		}
	}
}

func TestForget_LeavesDeadLettersThatCanBeRetried(t *testing.T) {
	f := newForgetting(t)
	stop := f.start()
	f.broken.Store(true)
	f.log.Add("ana", 5)
	before := f.awaitDeadLetters(1)[0]
	stop()
	f.log.Add("ana", leaves)
	stop = f.run(forgetful())
	f.awaitForgotten()
	stop()
	after := f.awaitDeadLetters(1)[0]
	if after.Data != "" || len(after.Headers) > 0 || after.Reason == before.Reason || after.Sequence != before.Sequence {
		t.Errorf("dead letter %+v", after)
	}
	f.broken.Store(false)
	f.start()
	if _, err := bus.NewDeadLetterQueue(f.log.JS).Retry(t.Context(), after.ID, f.streams); err != nil {
		t.Fatal(err)
	}
	f.awaitTotal("echo-ana", 5)
}

func TestForget_DoesNotHideThatAnotherHandlerFails(t *testing.T) {
	f := newFixture(t)
	moment := time.Now()
	f.clock = func() time.Time { return moment } // it is always too early to forget
	var logged bytes.Buffer
	f.logger = slog.New(slog.NewTextHandler(&logged, nil))
	f.broken.Store(true)
	s := f.counters()
	s.Reactions[0].Handlers = append(forgetful().Reactions[0].Handlers, s.Reactions[0].Handlers...)
	s.Reactions = s.Reactions[:1]
	f.log.Add("ana", leaves)
	stop := f.run(s)
	if l := f.awaitDeadLetters(1)[0]; !strings.Contains(l.Reason, "broken") || strings.Contains(l.Reason, "an owner is forgotten") {
		t.Errorf("dead letter %+v", l)
	}
	if stop(); !strings.Contains(logged.String(), "level=ERROR") {
		t.Errorf("nothing is logged: %s", &logged)
	}
}

func TestForget_WaitsForCommandsOnTheirWay(t *testing.T) {
	f := newFixture(t)
	moment, late := time.Now(), make(chan bool)
	f.clock = func() time.Time {
		select {
		case <-late:
			return moment.Add(time.Hour)
		default:
			return moment
		}
	}
	var logged bytes.Buffer // written by one service, and read when it has stopped
	f.logger = slog.New(slog.NewTextHandler(&logged, nil))
	tried := make(chan bool, 1000)
	s := forgetful()
	s.Reactions[0].Handlers[0] = service.Forget(func(e kittest.Added) bus.Owner {
		tried <- true
		return bus.Owner{ID: e.Counter, Subjects: []string{"events.counter." + e.Counter + ".>"}}
	})
	f.log.Add("ana", leaves)
	stopForgetting := f.run(s)
	f.logger = nil
	<-tried
	stop := f.run(f.counting())
	id := f.deferAs("ana", add{"c", 5})
	f.awaitOutcome(id, bus.OutcomeDone)
	stop()
	<-tried // it was not forgotten
	close(late)
	f.awaitOutcome(id, "")
	f.awaitForgotten()
	stopForgetting()
	for line := range strings.Lines(logged.String()) {
		// A server that does not answer within two seconds, on a busy machine, is not what is expected.
		if strings.Contains(line, "level=ERROR") && !strings.Contains(line, eventlog.ErrOutcomeUnknown.Error()) {
			t.Errorf("what is expected is logged as an error: %s", line)
		}
	}
}
