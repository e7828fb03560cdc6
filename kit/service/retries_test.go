package service_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/service"
)

// awaitLetters waits for exactly so many dead letters.
func (w *world) awaitLetters(n int) (letters []bus.DeadLetter) {
	w.t.Helper()
	w.eventually(func() (err error) {
		letters, _, err = bus.NewDeadLetterQueue(w.log.JS).List(w.t.Context(), 1, 100)
		if err == nil && len(letters) != n {
			err = fmt.Errorf("%d letters, want %d: %+v", len(letters), n, letters)
		}
		return err
	})
	return letters
}

func (w *world) publish(subject string, header nats.Header, data string) {
	w.t.Helper()
	if _, err := w.log.JS.PublishMsg(w.t.Context(), &nats.Msg{Subject: subject, Header: header, Data: []byte(data)}); err != nil {
		w.t.Fatal(err)
	}
}

// dead are the headers of a letter on its way back, as they were believed once.
func dead(consumer, stream, seq, subject string) nats.Header {
	id := eventlog.NewID()
	h := eventlog.Envelope{ID: id, Type: "kittest.counter.added.v1", Causation: "by-hand-" + id, Time: time.Now()}.Header()
	h[bus.HeaderDeadLetterConsumer], h[bus.HeaderDeadLetterStream] = []string{consumer}, []string{stream}
	h[bus.HeaderDeadLetterSequence], h[bus.HeaderDeadLetterSubject] = []string{seq}, []string{subject}
	return h
}

// TestWhatIsSaidOnRetriesIsNotBelieved publishes what says to be an event of the log
// and is none, or stands beyond its end. Nothing follows from it, and the service
// goes on recording.
func TestWhatIsSaidOnRetriesIsNotBelieved(t *testing.T) {
	w := newWorld(t)
	seq := w.log.Add("real", 1)
	w.start()
	w.awaitTotal("echo-real", 1)
	said := fmt.Sprint(seq)
	forged := dead("counters-echo", kittest.Stream, said, "events.counter.forged.added")
	w.publish("retries.counters.counters-echo.COUNTERS."+said, forged, `{"counter":"forged","by":1000}`)
	w.publish("retries.counters.counters-echo.COUNTERS.1000000", dead("counters-echo", kittest.Stream, "1000000", "events.counter.far.added"), `{"counter":"far","by":1}`)
	w.publish("retries.counters.counters-echo.DEFERRED.1", forged, `{"counter":"forged","by":1000}`)
	w.publish("retries.counters.counters-nobody.COUNTERS.1", forged, "")
	w.publish("retries.counters.nonsense", forged, "")
	for _, l := range w.awaitLetters(5) {
		if l.Consumer != "counters-retries" || l.Stream != bus.RetryStream || !strings.HasPrefix(l.Subject, "retries.counters.") || l.Reason == "" {
			t.Errorf("letter %+v", l)
		}
	}
	if _, err := w.Send(t.Context(), add{"c", 3}, eventlog.Envelope{}); err != nil {
		t.Fatalf("nothing is recorded any more: %v", err)
	}
	w.awaitTotal("echo-c", 3)
	w.awaitTotal("echo-forged", 0)
	w.awaitTotal("echo-far", 0)
}

// TestALetterWaitsForALogThatIsRestored retries one whose message is not in the log,
// and again when it is.
func TestALetterWaitsForALogThatIsRestored(t *testing.T) {
	w := newWorld(t)
	w.start()
	box := bus.NewDeadLetterQueue(w.log.JS)
	id := eventlog.NewID()
	h := eventlog.Envelope{ID: id, Type: "kittest.counter.added.v1", Causation: "test-" + id, Time: time.Now()}.Header()
	const data = `{"counter":"c","by":5}`
	if _, err := box.Add(t.Context(), bus.DeadLetter{Consumer: "counters-echo", Stream: kittest.Stream, Sequence: 1,
		Subject: "events.counter.c.added", Reason: "a test's", Headers: h, Data: data}); err != nil {
		t.Fatal(err)
	}
	if _, err := box.Retry(t.Context(), w.awaitLetters(1)[0].ID, w.streams); err != nil {
		t.Fatal(err)
	}
	var gone bus.DeadLetter
	w.eventually(func() error {
		letters := w.awaitLetters(1)
		if gone = letters[0]; !strings.Contains(gone.Reason, "the log does not hold it") || gone.Data != data {
			return fmt.Errorf("letter %+v", gone)
		}
		return nil
	})
	w.broken.Store(true) // so that only the letter brings it
	w.publish("events.counter.c.added", h, data)
	letters := w.awaitLetters(2)
	w.broken.Store(false)
	if err := box.Drop(t.Context(), letters[1].ID); err != nil {
		t.Fatal(err)
	}
	if to, err := box.Retry(t.Context(), gone.ID, w.streams); err != nil {
		t.Fatal(to, err)
	}
	w.awaitTotal("echo-c", 5)
	w.awaitLetters(0)
}

// TestAMessageIsRetriedByItsPlaceAlone is how an operator has it tried again when there is no
// letter of it.
func TestAMessageIsRetriedByItsPlaceAlone(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.broken.Store(true)
	seq := w.log.Add("c", 5)
	letters := w.awaitLetters(1)
	w.broken.Store(false)
	if err := bus.NewDeadLetterQueue(w.log.JS).Drop(t.Context(), letters[0].ID); err != nil {
		t.Fatal(err)
	}
	w.publish(fmt.Sprintf("retries.counters.counters-echo.COUNTERS.%d", seq), nil, "")
	w.awaitTotal("echo-c", 5)
}

// TestNobodyWaitsForALetterThatNobodyTakes refuses to give back what no consumer of
// RETRIES, or no reaction at all, takes.
func TestNobodyWaitsForALetterThatNobodyTakes(t *testing.T) {
	w := newWorld(t)
	box := bus.NewDeadLetterQueue(w.log.JS)
	for _, l := range []bus.DeadLetter{
		{Consumer: "nobody-on-counters", Stream: kittest.Stream, Sequence: 1, Subject: "events.counter.c.added"},
		{Consumer: bus.Undecodable, Stream: kittest.Stream, Sequence: 2, Subject: "events.counter.c.subtracted"},
	} {
		if _, err := box.Add(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range w.awaitLetters(2) {
		if to, err := box.Retry(t.Context(), l.ID, w.streams); !errs.Is(err, errs.Conflict) {
			t.Errorf("letter of %s goes to %v, %v", l.Consumer, to, err)
		}
	}
	w.awaitLetters(2)
}

// TestAReminderIsBelievedOnlyOfItsOwnService sets reminders as a reaction does, and
// as another service could.
func TestAReminderIsBelievedOnlyOfItsOwnService(t *testing.T) {
	w := newWorld(t)
	w.start()
	remind := func(set, due, counter, position string) {
		t.Helper()
		seq := w.log.Add(counter, 2)
		stored, err := w.log.At(t.Context(), kittest.Stream, seq)
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
		w.publish("timers.set."+set+"."+stored.ID, h, string(stored.Data))
	}
	remind("counters-later", "counters-later", "own", "COUNTERS:SEQ")
	remind("counters-later", "counters-later", "older", "") // as programs before set them
	remind("thief-later", "counters-later", "stolen", "COUNTERS:SEQ")
	remind("counters-later", "counters-later", "other", "COUNTERS:1")
	remind("counters-later", "counters-later", "lost", "COUNTERS:1000000")
	remind("counters-later", "counters-later", "odd", "COUNTERS")
	w.awaitTotal("later-own", 2)
	w.awaitTotal("later-older", 2)
	for _, l := range w.awaitLetters(4) {
		if l.Consumer != "counters-later" || l.Stream != "TIMERS" || l.Reason == "" {
			t.Errorf("letter %+v", l)
		}
	}
	for _, counter := range []string{"stolen", "other", "lost", "odd"} {
		w.awaitTotal("later-"+counter, 0)
	}
	if _, err := w.Send(t.Context(), add{"c", 3}, eventlog.Envelope{}); err != nil {
		t.Errorf("nothing is recorded any more: %v", err)
	}
}

// TestADeferredCommandThatFailedIsRetried gives it back once it can be done: then its
// outcome is another one.
func TestADeferredCommandThatFailedIsRetried(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.broken.Store(true)
	id := eventlog.NewID()
	if err := w.Defer(t.Context(), add{"c", 7}, eventlog.Envelope{ID: id, Actor: eventlog.Actor{ID: "ana"}}); err != nil {
		t.Fatal(err)
	}
	became := func(status string) {
		t.Helper()
		w.eventually(func() error {
			o, owner, err := w.Outcome(t.Context(), id)
			if err == nil && (o.Status != status || owner != "ana") {
				err = fmt.Errorf("outcome %+v of %q, want %s", o, owner, status)
			}
			return err
		})
	}
	letter := w.awaitLetters(1)[0]
	became(bus.Refused)
	if letter.Consumer != "counters-deferred" || letter.Stream != bus.DeferredStream {
		t.Fatalf("letter %+v", letter)
	}
	w.broken.Store(false)
	if to, err := bus.NewDeadLetterQueue(w.log.JS).Retry(t.Context(), letter.ID, w.streams); err != nil || fmt.Sprint(to) != "[counters-deferred]" {
		t.Fatal(to, err)
	}
	became(bus.Done)
	w.awaitTotal("c", 7)
	w.awaitLetters(0)
}

// TestOnlyRealFailuresAreCounted has a reaction fail for once after it was unavailable for
// longer than its tries.
func TestOnlyRealFailuresAreCounted(t *testing.T) {
	w := newWorld(t)
	w.fails = func(try int64) error {
		switch {
		case try <= 6:
			return errs.New(errs.Unavailable, "not now")
		case try == 7:
			return errors.New("a bug")
		}
		return nil
	}
	w.start()
	w.log.Add("c", 5)
	w.awaitTotal("echo-c", 5)
	w.awaitLetters(0)
	if n := w.tries.Load(); n != 8 {
		t.Errorf("tried %d times", n)
	}
}

// TestWhatANewerProgramReactsToIsLeftToIt brings a reaction an event of a type that it
// does not know: it is kept for the consumer that could not take it, and reaches it
// when the letter goes back.
func TestWhatANewerProgramReactsToIsLeftToIt(t *testing.T) {
	w := newWorld(t)
	w.start()
	id := eventlog.NewID()
	h := eventlog.Envelope{ID: id, Type: "kittest.counter.added.v2", Causation: "test-" + id, Time: time.Now()}.Header()
	w.publish("events.counter.c.added", h, `{"counter":"c","by":5}`)
	letters := map[string]bus.DeadLetter{}
	for _, l := range w.awaitLetters(2) { // the view's comes at once
		letters[l.Consumer] = l
	}
	l := letters["counters-echo"]
	if l.Stream != kittest.Stream || l.Sequence != 1 || !strings.Contains(l.Reason, "kittest.counter.added.v2") || letters[bus.Undecodable].Sequence != 1 {
		t.Fatalf("letters %+v", letters)
	}
	w.log.Add("d", 1)
	w.awaitTotal("echo-d", 1)
	if to, err := bus.NewDeadLetterQueue(w.log.JS).Retry(t.Context(), l.ID, w.streams); err != nil || fmt.Sprint(to) != "[counters-echo]" {
		t.Error(to, err)
	}
}

// TestAFactThatOnlyANewerReplicaReactsToIsNotLost brings a consumer, whose filter was
// extended by an upgrade, what replicas of before know nothing to do about.
func TestAFactThatOnlyANewerReplicaReactsToIsNotLost(t *testing.T) {
	w := newWorld(t)
	older := w.counters()
	older.Reactions[0].Handlers = nil
	stop := w.run(older)
	w.log.Add("c", 5)
	w.eventually(func() error {
		cons, err := w.log.JS.Consumer(t.Context(), kittest.Stream, "counters-echo")
		if err == nil && cons.CachedInfo().NumRedelivered == 0 {
			err = errors.New("the older replica has not seen it, or has kept it")
		}
		return err
	})
	stop()
	w.start()
	w.awaitTotal("echo-c", 5)
	w.awaitLetters(0)
}

// TestACommandThatOnlyANewerReplicaKnowsIsLeftToIt leaves a command for later that
// replicas of before do not know, and then one that nobody ever will.
func TestACommandThatOnlyANewerReplicaKnowsIsLeftToIt(t *testing.T) {
	w := newWorld(t)
	older := w.counters()
	older.Commands = nil
	stop := w.run(older)
	outcome := func(id, want string) (o bus.Outcome) {
		t.Helper()
		w.eventually(func() (err error) {
			if o, _, err = w.Outcome(t.Context(), id); err == nil && o.Status != want {
				err = fmt.Errorf("%s is %s: %v", id, o.Status, o.Problem)
			}
			return err
		})
		return o
	}
	known, never := eventlog.NewID(), eventlog.NewID()
	if err := w.Defer(t.Context(), add{"c", 5}, eventlog.Envelope{ID: known}); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() error {
		cons, err := w.log.JS.Consumer(t.Context(), bus.DeferredStream, "counters-deferred")
		if err == nil && cons.CachedInfo().NumRedelivered == 0 {
			err = errors.New("the older replica has not seen it, or has kept it")
		}
		return err
	})
	stop()
	w.start()
	outcome(known, bus.Done)
	w.publish(bus.DeferredSubject("counters.shrink", never), nats.Header{eventlog.HeaderID: {never}}, "{}")
	if o := outcome(never, bus.Refused); o.Problem.Code != errs.NotFound {
		t.Errorf("refused with %+v", o.Problem)
	}
}
