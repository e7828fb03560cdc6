package service_test

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/service"
)

// awaitDeadLetters waits for exactly so many dead letters.
func (f *fixture) awaitDeadLetters(n int) (letters []bus.DeadLetter) {
	f.t.Helper()
	f.eventually(func() (err error) {
		letters, _, err = bus.NewDeadLetterQueue(f.log.JS).List(f.t.Context(), 1, 100)
		if err == nil && len(letters) != n {
			err = fmt.Errorf("%d dead letters, want %d: %+v", len(letters), n, letters)
		}
		return err
	})
	return letters
}

func (f *fixture) publish(subject string, header nats.Header, data string) {
	f.t.Helper()
	if _, err := f.log.JS.PublishMsg(f.t.Context(), &nats.Msg{Subject: subject, Header: header, Data: []byte(data)}); err != nil {
		f.t.Fatal(err)
	}
}

// dead are the headers of a message on its way back, which an older program believed.
func dead(consumer, stream, seq, subject string) nats.Header {
	id := eventlog.NewID()
	h := eventlog.Envelope{ID: id, Type: "kittest.counter.added.v1", Causation: "by-hand-" + id, Time: time.Now()}.Header()
	h[bus.HeaderDeadLetterConsumer], h[bus.HeaderDeadLetterStream] = []string{consumer}, []string{stream}
	h[bus.HeaderDeadLetterSequence], h[bus.HeaderDeadLetterSubject] = []string{seq}, []string{subject}
	return h
}

// TestRetry_BelievesOnlyTheLog publishes messages to retry that claim to be events of the log.
// Nothing follows from them, and the service goes on recording.
func TestRetry_BelievesOnlyTheLog(t *testing.T) {
	f := newFixture(t)
	seq := f.log.Add("real", 1)
	f.start()
	f.awaitTotal("echo-real", 1)
	said := fmt.Sprint(seq)
	forged := dead("counters-echo", kittest.Stream, said, "events.counter.forged.added")
	f.publish("retries.counters.counters-echo.COUNTERS."+said, forged, `{"counter":"forged","by":1000}`)
	f.publish("retries.counters.counters-echo.COUNTERS.1000000", dead("counters-echo", kittest.Stream, "1000000", "events.counter.far.added"), `{"counter":"far","by":1}`)
	f.publish("retries.counters.counters-echo.DEFERRED.1", forged, `{"counter":"forged","by":1000}`)
	f.publish("retries.counters.counters-nobody.COUNTERS.1", forged, "")
	f.publish("retries.counters.nonsense", forged, "")
	for _, l := range f.awaitDeadLetters(5) {
		if l.Consumer != "counters-retries" || l.Stream != bus.RetryStream || !strings.HasPrefix(l.Subject, "retries.counters.") || l.Reason == "" {
			t.Errorf("dead letter %+v", l)
		}
	}
	if _, err := f.Send(t.Context(), add{"c", 3}, eventlog.Envelope{}); err != nil {
		t.Fatalf("nothing is recorded any more: %v", err)
	}
	f.awaitTotal("echo-c", 3)
	f.awaitTotal("echo-forged", 0)
	f.awaitTotal("echo-far", 0)
}

// TestRetry_OfAMessageNotInTheLogWaitsUntilItIsRestored retries a dead letter whose
// message is not in the log, and again when it is.
func TestRetry_OfAMessageNotInTheLogWaitsUntilItIsRestored(t *testing.T) {
	f := newFixture(t)
	f.start()
	queue := bus.NewDeadLetterQueue(f.log.JS)
	id := eventlog.NewID()
	h := eventlog.Envelope{ID: id, Type: "kittest.counter.added.v1", Causation: "test-" + id, Time: time.Now()}.Header()
	const data = `{"counter":"c","by":5}`
	if _, err := queue.Add(t.Context(), bus.DeadLetter{Consumer: "counters-echo", Stream: kittest.Stream, Sequence: 1,
		Subject: "events.counter.c.added", Reason: "a test's", Headers: h, Data: data}); err != nil {
		t.Fatal(err)
	}
	if _, err := queue.Retry(t.Context(), f.awaitDeadLetters(1)[0].ID, f.streams); err != nil {
		t.Fatal(err)
	}
	var gone bus.DeadLetter
	f.eventually(func() error {
		letters := f.awaitDeadLetters(1)
		if gone = letters[0]; !strings.Contains(gone.Reason, "the log does not hold it") || gone.Data != data {
			return fmt.Errorf("dead letter %+v", gone)
		}
		return nil
	})
	f.broken.Store(true) // so that only the dead letter brings it
	f.publish("events.counter.c.added", h, data)
	letters := f.awaitDeadLetters(2)
	f.broken.Store(false)
	if err := queue.Drop(t.Context(), letters[1].ID); err != nil {
		t.Fatal(err)
	}
	if to, err := queue.Retry(t.Context(), gone.ID, f.streams); err != nil {
		t.Fatal(to, err)
	}
	f.awaitTotal("echo-c", 5)
	f.awaitDeadLetters(0)
}

// TestRetry_WorksByPositionAlone is how an operator has a message retried without a dead
// letter.
func TestRetry_WorksByPositionAlone(t *testing.T) {
	f := newFixture(t)
	f.start()
	f.broken.Store(true)
	seq := f.log.Add("c", 5)
	letters := f.awaitDeadLetters(1)
	f.broken.Store(false)
	if err := bus.NewDeadLetterQueue(f.log.JS).Drop(t.Context(), letters[0].ID); err != nil {
		t.Fatal(err)
	}
	f.publish(fmt.Sprintf("retries.counters.counters-echo.COUNTERS.%d", seq), nil, "")
	f.awaitTotal("echo-c", 5)
}

// TestRetry_RejectsDeadLettersThatNoConsumerTakes retries messages that no consumer of
// RETRIES, or no reaction at all, takes.
func TestRetry_RejectsDeadLettersThatNoConsumerTakes(t *testing.T) {
	f := newFixture(t)
	queue := bus.NewDeadLetterQueue(f.log.JS)
	for _, l := range []bus.DeadLetter{
		{Consumer: "nobody-on-counters", Stream: kittest.Stream, Sequence: 1, Subject: "events.counter.c.added"},
		{Consumer: bus.Undecodable, Stream: kittest.Stream, Sequence: 2, Subject: "events.counter.c.subtracted"},
	} {
		if _, err := queue.Add(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range f.awaitDeadLetters(2) {
		if to, err := queue.Retry(t.Context(), l.ID, f.streams); !errs.Is(err, errs.Conflict) {
			t.Errorf("dead letter of %s goes to %v, %v", l.Consumer, to, err)
		}
	}
	f.awaitDeadLetters(2)
}

// TestReminder_IsBelievedOnlyFromItsOwnService sets reminders as a reaction does, and
// as another service could.
func TestReminder_IsBelievedOnlyFromItsOwnService(t *testing.T) {
	f := newFixture(t)
	f.start()
	remind := func(set, due, counter, position string) {
		t.Helper()
		seq := f.log.Add(counter, 2)
		stored, err := f.log.At(t.Context(), kittest.Stream, seq)
		if err != nil {
			t.Fatal(err)
		}
		h := stored.Envelope.Header()
		h[service.HeaderOriginal] = []string{stored.Subject}
		if position != "" {
			h[service.HeaderOriginalPosition] = []string{strings.ReplaceAll(position, "SEQ", fmt.Sprint(seq))}
		}
		h["Nats-Schedule"] = []string{"@at " + time.Now().UTC().Format(time.RFC3339Nano)}
		h["Nats-Schedule-Target"] = []string{"timers.due." + due + "." + stored.ID}
		f.publish("timers.set."+set+"."+stored.ID, h, string(stored.Data))
	}
	remind("counters-later", "counters-later", "own", "COUNTERS:SEQ")
	remind("counters-later", "counters-later", "older", "") // as programs before set them
	remind("thief-later", "counters-later", "stolen", "COUNTERS:SEQ")
	remind("counters-later", "counters-later", "other", "COUNTERS:1")
	remind("counters-later", "counters-later", "lost", "COUNTERS:1000000")
	remind("counters-later", "counters-later", "odd", "COUNTERS")
	f.awaitTotal("later-own", 2)
	f.awaitTotal("later-older", 2)
	for _, l := range f.awaitDeadLetters(4) {
		if l.Consumer != "counters-later" || l.Stream != "TIMERS" || l.Reason == "" {
			t.Errorf("dead letter %+v", l)
		}
	}
	for _, counter := range []string{"stolen", "other", "lost", "odd"} {
		f.awaitTotal("later-"+counter, 0)
	}
	if _, err := f.Send(t.Context(), add{"c", 3}, eventlog.Envelope{}); err != nil {
		t.Errorf("nothing is recorded any more: %v", err)
	}
}

// TestDeferred_FailedCommandIsRetriedWithANewOutcome retries a command once it can be done.
// Then it has another outcome.
func TestDeferred_FailedCommandIsRetriedWithANewOutcome(t *testing.T) {
	f := newFixture(t)
	f.start()
	f.broken.Store(true)
	id := eventlog.NewID()
	if err := f.Defer(t.Context(), add{"c", 7}, eventlog.Envelope{ID: id, Actor: eventlog.Actor{ID: "ana"}}); err != nil {
		t.Fatal(err)
	}
	became := func(status string) {
		t.Helper()
		f.eventually(func() error {
			o, owner, err := f.Outcome(t.Context(), id)
			if err == nil && (o.Status != status || owner != "ana") {
				err = fmt.Errorf("outcome %+v of %q, want %s", o, owner, status)
			}
			return err
		})
	}
	dead := f.awaitDeadLetters(1)[0]
	became(bus.OutcomeRejected)
	if dead.Consumer != "counters-deferred" || dead.Stream != bus.DeferredStream {
		t.Fatalf("dead letter %+v", dead)
	}
	f.broken.Store(false)
	if to, err := bus.NewDeadLetterQueue(f.log.JS).Retry(t.Context(), dead.ID, f.streams); err != nil || fmt.Sprint(to) != "[counters-deferred]" {
		t.Fatal(to, err)
	}
	became(bus.OutcomeDone)
	f.awaitTotal("c", 7)
	f.awaitDeadLetters(0)
}

// TestReaction_CountsOnlyRealFailures has a reaction fail once after it was Unavailable more
// often than it may fail.
func TestReaction_CountsOnlyRealFailures(t *testing.T) {
	f := newFixture(t)
	f.fails = func(try int64) error {
		switch {
		case try <= 6:
			return errs.New(errs.Unavailable, "not now")
		case try == 7:
			return errors.New("a bug")
		}
		return nil
	}
	f.start()
	f.log.Add("c", 5)
	f.awaitTotal("echo-c", 5)
	f.awaitDeadLetters(0)
	if n := f.tries.Load(); n != 8 {
		t.Errorf("tried %d times", n)
	}
}

// TestUnknown_EventTypeBecomesADeadLetterAndIsRetried has a reaction read an event of a type
// that it does not know. The dead letter is of its consumer, and can be retried there.
func TestUnknown_EventTypeBecomesADeadLetterAndIsRetried(t *testing.T) {
	f := newFixture(t)
	f.start()
	id := eventlog.NewID()
	h := eventlog.Envelope{ID: id, Type: "kittest.counter.added.v2", Causation: "test-" + id, Time: time.Now()}.Header()
	f.publish("events.counter.c.added", h, `{"counter":"c","by":5}`)
	letters := map[string]bus.DeadLetter{}
	for _, l := range f.awaitDeadLetters(2) { // the view's comes at once
		letters[l.Consumer] = l
	}
	l := letters["counters-echo"]
	if l.Stream != kittest.Stream || l.Sequence != 1 || !strings.Contains(l.Reason, "kittest.counter.added.v2") || letters[bus.Undecodable].Sequence != 1 {
		t.Fatalf("dead letters %+v", letters)
	}
	f.log.Add("d", 1)
	f.awaitTotal("echo-d", 1)
	if to, err := bus.NewDeadLetterQueue(f.log.JS).Retry(t.Context(), l.ID, f.streams); err != nil || fmt.Sprint(to) != "[counters-echo]" {
		t.Error(to, err)
	}
}

// TestUnknown_EventIsLeftToANewerReplica has an older replica read an event that only
// newer ones handle, as after an upgrade that extends the consumer's filter.
func TestUnknown_EventIsLeftToANewerReplica(t *testing.T) {
	f := newFixture(t)
	older := f.counters()
	older.Reactions[0].Handlers = nil
	stop := f.run(older)
	f.log.Add("c", 5)
	f.eventually(func() error {
		cons, err := f.log.JS.Consumer(t.Context(), kittest.Stream, "counters-echo")
		if err == nil && cons.CachedInfo().NumRedelivered == 0 {
			err = errors.New("the older replica has not seen it, or has kept it")
		}
		return err
	})
	stop()
	f.start()
	f.awaitTotal("echo-c", 5)
	f.awaitDeadLetters(0)
}

// TestUnknown_DeferredCommandIsLeftToANewerReplica defers a command that older replicas
// do not know, and then one that no replica knows.
func TestUnknown_DeferredCommandIsLeftToANewerReplica(t *testing.T) {
	f := newFixture(t)
	older := f.counters()
	older.Commands = nil
	stop := f.run(older)
	outcome := func(id, want string) (o bus.Outcome) {
		t.Helper()
		f.eventually(func() (err error) {
			if o, _, err = f.Outcome(t.Context(), id); err == nil && o.Status != want {
				err = fmt.Errorf("%s is %s: %v", id, o.Status, o.Problem)
			}
			return err
		})
		return o
	}
	known, never := eventlog.NewID(), eventlog.NewID()
	if err := f.Defer(t.Context(), add{"c", 5}, eventlog.Envelope{ID: known}); err != nil {
		t.Fatal(err)
	}
	f.eventually(func() error {
		cons, err := f.log.JS.Consumer(t.Context(), bus.DeferredStream, "counters-deferred")
		if err == nil && cons.CachedInfo().NumRedelivered == 0 {
			err = errors.New("the older replica has not seen it, or has kept it")
		}
		return err
	})
	stop()
	f.start()
	outcome(known, bus.OutcomeDone)
	f.publish(bus.DeferredSubject("counters.shrink", never), nats.Header{eventlog.HeaderID: {never}}, "{}")
	if o := outcome(never, bus.OutcomeRejected); o.Problem.Code != errs.NotFound {
		t.Errorf("rejected with %+v", o.Problem)
	}
}

// TestUnknown_DeliveriesToOthersDoNotCount delivers a message to somebody else first, more
// times than a replica waits for a newer one: as if a newer one had taken it in an outage.
// The replica that does not know the message still leaves it to others.
func TestUnknown_DeliveriesToOthersDoNotCount(t *testing.T) {
	for _, test := range []struct {
		consumer, stream string
		publish          func(*fixture)
	}{
		{"counters-echo", kittest.Stream, func(f *fixture) { f.log.Add("c", 5) }},
		{"counters-deferred", bus.DeferredStream, func(f *fixture) {
			if err := f.Defer(t.Context(), add{"c", 5}, eventlog.Envelope{ID: eventlog.NewID()}); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(test.consumer, func(t *testing.T) {
			f := newFixture(t)
			test.publish(f)
			cons, err := f.streams.Ensure(t.Context(), f.log.JS, test.consumer)
			if err != nil {
				t.Fatal(err)
			}
			for n := range 12 {
				m, err := cons.Next(jetstream.FetchMaxWait(30 * time.Second))
				if err != nil {
					t.Fatalf("delivery %d: %v", n+1, err)
				}
				if err := m.Nak(); err != nil {
					t.Fatal(err)
				}
			}
			handled := make(chan error, 10)
			f.middleware = []message.HandlerMiddleware{func(h message.HandlerFunc) message.HandlerFunc {
				return func(m *message.Message) ([]*message.Message, error) {
					out, err := h(m)
					if message.HandlerNameFromCtx(m.Context()) == test.consumer {
						handled <- fmt.Errorf("delivery %s: %w", m.Metadata.Get(bus.MetaDelivered), cmp.Or(err, errHandled))
					}
					return out, err
				}
			}}
			older := f.counters()
			older.Reactions[0].Handlers, older.Commands = nil, nil
			f.run(older)
			select {
			case err := <-handled:
				if !errs.Is(err, errs.Unavailable) || !strings.HasPrefix(err.Error(), "delivery 13:") {
					t.Errorf("the older replica's result: %v", err)
				}
			case <-time.After(time.Minute):
				t.Fatal("the older replica was delivered nothing")
			}
			f.awaitDeadLetters(0)
		})
	}
}

// TestUnknown_ManyReplicasGiveUpInTime has several replicas read an event that none of them
// handles. Redeliveries become rare and each replica gets only some of them, which must not
// prolong the wait.
func TestUnknown_ManyReplicasGiveUpInTime(t *testing.T) {
	f := newFixture(t)
	for range 3 {
		older := f.counters()
		older.Reactions[0].Handlers, older.Commands, older.Views, older.Queries = nil, nil, nil, nil
		f.run(older)
	}
	f.log.Add("c", 5)
	if l := f.awaitDeadLetters(1)[0]; l.Consumer != "counters-echo" || l.Sequence != 1 {
		t.Errorf("dead letter %+v", l)
	}
}

// errHandled stands for no error.
var errHandled = errors.New("handled or given up")
