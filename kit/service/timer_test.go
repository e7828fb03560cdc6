package service_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lonja/kit/bus"
	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/projection"
	"lonja/kit/service"
)

// alarms is a service with a timer: so many milliseconds as were added to a counter "x" after that,
// it adds the same to "later-x". A counter that is stopped has 0 added to it in between.
type alarms struct {
	*service.Service
	handled atomic.Int64
	fails   func(try int64) error // of a reaction, from 1 on; nil fails none
	gate    chan struct{}         // the view waits for it before each event; nil does not wait
}

func newAlarms() *alarms {
	a := &alarms{}
	counters := newCounters()
	pending := projection.New(projection.Definition{
		Name:   "pending",
		Schema: `CREATE TABLE pending (counter TEXT PRIMARY KEY, due INTEGER NOT NULL, sequence INTEGER NOT NULL); CREATE INDEX due ON pending (due, sequence);`,
		Reads:  []projection.Source{{Stream: kittest.Stream, Subjects: []string{"events.counter.>"}}},
		Project: func(tx *projection.Tx, r eventlog.Record) error {
			if a.gate != nil {
				<-a.gate
			}
			e := r.Event.(kittest.Added)
			if later, is := strings.CutPrefix(e.Counter, "later-"); is {
				return tx.Exec(`DELETE FROM pending WHERE counter = ?`, later)
			}
			return tx.Exec(`INSERT OR REPLACE INTO pending VALUES (?, ?, ?)`, e.Counter, r.Time.Add(time.Duration(e.By)*time.Millisecond).UnixMicro(), r.Number)
		},
	})
	a.Service = &service.Service{
		Name:  "counters",
		Views: []*projection.View{pending},
		Timers: []service.Timer{{
			Name: "counters-later", Stream: kittest.Stream, View: pending,
			Pending: `SELECT due, sequence FROM pending WHERE (due, sequence) > (?1, ?2) ORDER BY due, sequence LIMIT ?3`,
			Handlers: []service.Handler{service.React(counters, func(e kittest.Added) string { return "later-" + e.Counter },
				func(_ int, e kittest.Added, m decider.Meta) (eventlog.Event, error) {
					try := a.handled.Add(1)
					if a.fails != nil {
						if err := a.fails(try); err != nil {
							return nil, err
						}
					}
					return kittest.Added{Counter: m.EntityID, By: e.By}, nil
				})},
		}},
	}
	return a
}

// recorded returns the events of a counter, oldest first.
func (f *fixture) recorded(counter string) (all []eventlog.Record) {
	f.t.Helper()
	filter := "events.counter." + counter + ".>"
	last, err := f.log.Last(f.t.Context(), kittest.Stream, filter)
	if err == nil {
		err = f.log.Load(f.t.Context(), kittest.Stream, filter, 0, last, func(r eventlog.Record) {
			if stored, atErr := f.log.At(f.t.Context(), kittest.Stream, r.Sequence); atErr == nil {
				r.StoredAt = stored.StoredAt
			}
			all = append(all, r)
		})
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return all
}

func (f *fixture) awaitRecorded(counter string) eventlog.Record {
	f.t.Helper()
	var all []eventlog.Record
	f.eventually(func() error {
		if all = f.recorded(counter); len(all) != 1 {
			return fmt.Errorf("%s has %d events, want 1", counter, len(all))
		}
		return nil
	})
	return all[0]
}

// remind sets a reminder of an event, as earlier versions did.
func (f *fixture) remind(consumer string, event eventlog.Record, at time.Time) {
	f.t.Helper()
	h := event.Envelope.Header()
	h[service.HeaderOriginal] = []string{event.Subject}
	h[service.HeaderOriginalPosition] = []string{eventlog.Position(event.Stream, event.Sequence)}
	h["Nats-Schedule"] = []string{"@at " + at.UTC().Format(time.RFC3339Nano)}
	set, due := service.ReminderSubjects(consumer, event.ID)
	h["Nats-Schedule-Target"] = []string{due}
	f.publish(set, h, string(event.Data))
}

func TestTimer_ReactsWhenItsTimeHasCome(t *testing.T) {
	f := newFixture(t)
	f.run(newAlarms().Service)
	f.log.Add("x", 1500)
	f.log.Add("far", 3_600_000)
	f.log.Add("past", -3_600_000)
	first, later := f.awaitRecorded("x"), f.awaitRecorded("later-x")
	if early := first.Time.Add(1500 * time.Millisecond).Sub(later.StoredAt); early > 0 {
		t.Errorf("it reacted %s early", early)
	}
	if want := eventlog.DeriveID(first.ID, "counters-later"); later.Causation != want || later.Correlation != first.Correlation {
		t.Errorf("caused by %s of %s, want %s of %s", later.Causation, later.Correlation, want, first.Correlation)
	}
	f.awaitRecorded("later-past")
	if n := len(f.recorded("later-far")); n != 0 {
		t.Errorf("an event that is due in an hour was reacted to %d times", n)
	}
	f.awaitDeadLetters(0)
}

// A commit can bring what is due before all that was known.
func TestTimer_WakesUpForAnEarlierTime(t *testing.T) {
	f := newFixture(t)
	f.run(newAlarms().Service)
	f.log.Add("far", 3_600_000)
	f.log.Add("x", 1)
	f.awaitRecorded("later-x")
}

func TestTimer_ReactsAfterARestartToWhatBecameDueMeanwhile(t *testing.T) {
	f := newFixture(t)
	stop := f.run(newAlarms().Service)
	f.log.Add("x", 3_600_000)
	f.awaitRecorded("x")
	stop()
	f.log.Add("y", 1)
	f.run(newAlarms().Service)
	f.awaitRecorded("later-y")
	if n := len(f.recorded("later-x")); n != 0 {
		t.Errorf("an event that is due in an hour was reacted to %d times", n)
	}
}

// A reminder that an earlier version has set and the rows both know of an event.
func TestTimer_AndAReminderOfAnEarlierVersionReactOnce(t *testing.T) {
	f := newFixture(t)
	seq := f.log.Add("x", 300)
	stored, err := f.log.At(t.Context(), kittest.Stream, seq)
	if err != nil {
		t.Fatal(err)
	}
	f.remind("counters-later", stored, time.Now().Add(300*time.Millisecond))
	f.run(newAlarms().Service)
	f.awaitRecorded("later-x")
	f.eventually(func() error { // the reminder was handled, too
		cons, err := f.log.JS.Consumer(t.Context(), "TIMERS", "counters-later")
		if err == nil && (cons.CachedInfo().AckFloor.Consumer == 0 || cons.CachedInfo().NumPending > 0) {
			err = errors.New("the reminder is not acknowledged")
		}
		return err
	})
	f.awaitRecorded("later-x")
}

// While the rows still have an event, its reaction does not run again and again.
func TestTimer_DoesNotRepeatWhatTheRowsDoNotShowYet(t *testing.T) {
	f := newFixture(t)
	a := newAlarms()
	a.gate = make(chan struct{}, 2)
	a.gate <- struct{}{}
	a.gate <- struct{}{}
	f.log.Add("x", 1)
	f.log.Add("y", 1500)
	f.run(a.Service)
	f.awaitRecorded("later-x")
	f.awaitRecorded("later-y") // so the clock has looked again, and has found x first
	if n := a.handled.Load(); n != 2 {
		t.Errorf("two events were handled %d times", n)
	}
	close(a.gate)
	f.log.Add("z", 1)
	f.awaitRecorded("later-z")
	f.awaitRecorded("later-x")
}

func TestTimer_FailureEndsInADeadLetterThatCanBeRetried(t *testing.T) {
	f := newFixture(t)
	a := newAlarms()
	var broken atomic.Bool
	broken.Store(true)
	a.fails = func(int64) error {
		if broken.Load() {
			return errors.New("a bug")
		}
		return nil
	}
	f.run(a.Service)
	seq := f.log.Add("x", 1)
	l := f.awaitDeadLetters(1)[0]
	if l.Consumer != "counters-later" || l.Stream != kittest.Stream || l.Sequence != seq || !strings.Contains(l.Reason, "a bug") || l.Data != `{"counter":"x","by":1}` {
		t.Fatalf("dead letter %+v", l)
	}
	if n := a.handled.Load(); n != 6 {
		t.Errorf("tried %d times", n)
	}
	broken.Store(false)
	f.log.Add("y", 1)
	f.awaitRecorded("later-y")
	if n := len(f.recorded("later-x")); n != 0 {
		t.Errorf("what was given up has %d events", n)
	}
	if to, err := bus.NewDeadLetterQueue(f.log.JS).Retry(t.Context(), l.ID, f.streams); err != nil || fmt.Sprint(to) != "[counters-later]" {
		t.Fatal(to, err)
	}
	f.awaitRecorded("later-x")
	f.awaitDeadLetters(0)
}

// A retry does not make anything happen before its time.
func TestTimer_RetryOfWhatIsNotDueChangesNothing(t *testing.T) {
	f := newFixture(t)
	f.run(newAlarms().Service)
	seq := f.log.Add("x", 3_600_000)
	f.publish(fmt.Sprintf("retries.counters.counters-later.COUNTERS.%d", seq), nil, "")
	f.eventually(func() error {
		stream, err := f.log.JS.Stream(t.Context(), bus.RetryStream)
		if err == nil && stream.CachedInfo().State.Msgs > 0 {
			err = errors.New("the retry is not handled")
		}
		return err
	})
	f.log.Add("y", 1)
	f.awaitRecorded("later-y")
	if n := len(f.recorded("later-x")); n != 0 {
		t.Errorf("it reacted an hour early, %d times", n)
	}
	f.awaitDeadLetters(0)
}

func TestTimer_UnavailableIsTriedForAsLongAsItTakes(t *testing.T) {
	f := newFixture(t)
	a := newAlarms()
	a.fails = func(try int64) error {
		if try <= 7 {
			return errs.New(errs.Unavailable, "not now")
		}
		return nil
	}
	f.run(a.Service)
	f.log.Add("x", 1)
	f.awaitRecorded("later-x")
	f.awaitDeadLetters(0)
	if n := a.handled.Load(); n != 8 {
		t.Errorf("tried %d times", n)
	}
}

// Two replicas, each with rows of its own, see that very much is due. Each event is reacted to once,
// and mostly by one of them.
func TestTimer_EveryReplicaAsksAndOneActs(t *testing.T) {
	f := newFixture(t)
	const events = 200
	for n := range events {
		f.log.Add(fmt.Sprint("x", n), 1)
	}
	replicas := []*alarms{newAlarms(), newAlarms()}
	for n, a := range replicas {
		f.runReplica(a.Service, fmt.Sprint("r", n))
	}
	for n := range events {
		f.awaitRecorded(fmt.Sprint("later-x", n))
	}
	handled := replicas[0].handled.Load() + replicas[1].handled.Load()
	if handled > events*3/2 {
		t.Errorf("%d events were decided %d times", events, handled)
	}
	t.Logf("%d events were decided %d + %d times", events, replicas[0].handled.Load(), replicas[1].handled.Load())
}

// Late is the metric of how late the timer is, in seconds.
func (f *fixture) late() float64 {
	f.t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, m := range families {
		if m.GetName() == "counters_timer_late_seconds" {
			return m.Metric[0].GetGauge().GetValue()
		}
	}
	f.t.Fatal("there is no metric of the timer")
	return 0
}

func TestTimer_MetricTellsHowLateItIs(t *testing.T) {
	f := newFixture(t)
	a := newAlarms()
	var away atomic.Bool
	away.Store(true)
	a.fails = func(int64) error {
		if away.Load() {
			return errs.New(errs.Unavailable, "not now")
		}
		return nil
	}
	f.run(a.Service)
	f.log.Add("x", -3_600_000)
	f.eventually(func() error {
		if late := f.late(); late < 3600 || late > 3700 {
			return fmt.Errorf("%f s late, want an hour", late)
		}
		return nil
	})
	away.Store(false)
	f.awaitRecorded("later-x")
	f.eventually(func() error {
		if late := f.late(); late != 0 {
			return fmt.Errorf("%f s late, want none", late)
		}
		return nil
	})
}

func TestTimer_MustBeDeclaredRightly(t *testing.T) {
	f := newFixture(t)
	for want, change := range map[string]func(*service.Timer){
		"required": func(t *service.Timer) { t.Pending = "" },
		"must be one of": func(t *service.Timer) {
			t.View = projection.New(projection.Definition{Name: "x", Schema: "x", Reads: []projection.Source{{Stream: kittest.Stream}}, Project: func(*projection.Tx, eventlog.Record) error { return nil }})
		},
		"read stream OTHERS": func(t *service.Timer) { t.Stream = "OTHERS" },
	} {
		a := newAlarms()
		change(&a.Timers[0])
		err := a.Run(context.Background(), service.Config{Application: "counters", Conn: f.log.Conn, Codec: f.codec, Streams: f.streams, Dir: t.TempDir()}, nil)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "counters-later") {
			t.Errorf("%s: %v", want, err)
		}
	}
}
