package service_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"lonja/kit/bus"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/natsauth"
	"lonja/kit/service"
)

// grow gives the stream of counters n partitions. What runs already does not know of them.
func (f *fixture) grow(n int) {
	f.t.Helper()
	grown, err := f.streams.Grow(f.t.Context(), f.log.JS, map[string]int{kittest.Stream: n})
	if err == nil {
		err = grown.Apply(f.t.Context(), f.log.JS, 0)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	f.log.Layout = grown.Layout
}

// on returns a counter that is new on a partition, and whose echo has another one if other is true.
func (f *fixture) on(stream string, other bool) string {
	f.t.Helper()
	for i := range 1000 {
		counter := fmt.Sprintf("p%d", i)
		home := f.log.Layout.Homes(kittest.Stream, counter)[0]
		if home == stream && (home != f.log.Layout.Homes(kittest.Stream, "echo-"+counter)[0]) == other {
			return counter
		}
	}
	f.t.Fatal("there is no such counter")
	return ""
}

const second = kittest.Stream + "-1" // the second partition

func TestPartitions_ReactionsReachFromOneToAnother(t *testing.T) {
	f := newFixture(t)
	f.grow(2)
	f.start()
	for _, from := range []string{kittest.Stream, second} {
		for _, other := range []bool{false, true} {
			counter := f.on(from, other)
			r, err := f.Send(t.Context(), add{counter, 5}, eventlog.Envelope{ID: eventlog.NewID()})
			if err != nil || !strings.HasPrefix(r.Position, from+":") {
				t.Fatalf("%+v, %v, want a position on %s", r, err, from)
			}
			f.awaitTotal(counter, 5)
			f.awaitTotal("echo-"+counter, 5)
		}
	}
	f.awaitDeadLetters(0)
}

func TestPartitions_ADeadLetterOfOneIsRetriedThere(t *testing.T) {
	f := newFixture(t)
	f.grow(2)
	f.start()
	counter := f.on(second, true)
	f.broken.Store(true)
	f.log.Add(counter, 5)
	l := f.awaitDeadLetters(1)[0]
	if l.Consumer != "counters-echo" || l.Stream != second || l.Subject != "events.counter-1."+counter+".added" {
		t.Errorf("dead letter %+v", l)
	}
	f.broken.Store(false)
	if to, err := bus.NewDeadLetterQueue(f.log.JS).Retry(t.Context(), l.ID, f.streams); err != nil || len(to) != 1 {
		t.Fatal(to, err)
	}
	f.awaitTotal("echo-"+counter, 5)
	f.awaitDeadLetters(0)
}

// Events with the same sequence on two partitions are due, and one of them ends as a dead letter first.
func TestPartitions_TimersHandleTheEventsOfAll(t *testing.T) {
	f := newFixture(t)
	f.grow(2)
	first, other := f.on(kittest.Stream, true), f.on(second, true)
	if a, b := f.log.Add(first, 30), f.log.Add(other, 30); a != b {
		t.Fatalf("the sequences are %d and %d", a, b)
	}
	a := newAlarms()
	a.fails = func(try int64) error {
		if try <= 6 {
			return errors.New("a test's")
		}
		return nil
	}
	f.run(a.Service)
	f.awaitLater(first, other)
}

// awaitLater waits until the timer has added to counters, retrying what was given up.
func (f *fixture) awaitLater(counters ...string) {
	f.t.Helper()
	queue := bus.NewDeadLetterQueue(f.log.JS)
	f.eventually(func() error {
		letters, _, err := queue.List(f.t.Context(), 1, 100)
		if err != nil {
			return err
		}
		for _, l := range letters {
			if _, err := queue.Retry(f.t.Context(), l.ID, f.streams); err != nil {
				return err
			}
		}
		for _, counter := range counters {
			home, filter, err := f.log.Home(f.t.Context(), kittest.Stream, "events.counter.later-"+counter+".>")
			if err != nil {
				return err
			}
			if last, err := f.log.Last(f.t.Context(), home, filter); err != nil || last == 0 {
				return fmt.Errorf("nothing was added to later-%s: %w", counter, err)
			}
		}
		return nil
	})
}

// Somebody adds a partition while a service is not connected. It ends when it is connected again, so that it
// is started with the new layout.
func TestPartitions_AServiceEndsThatDoesNotKnowOfOne(t *testing.T) {
	f := newFixture(t)
	ready, failed := make(chan struct{}), make(chan error, 1)
	go func() {
		failed <- f.counters().Run(t.Context(), service.Config{Application: "counters", Conn: f.log.Conn, Codec: f.codec,
			Streams: f.streams, Dir: f.dir}, func() { close(ready) })
	}()
	select {
	case <-ready:
	case err := <-failed:
		t.Fatal(err)
	}
	stream, err := f.log.JS.Stream(t.Context(), kittest.Stream)
	if err != nil {
		t.Fatal(err)
	}
	c := stream.CachedInfo().Config
	c.Metadata = map[string]string{"partitions": "1,2@1"}
	if _, err := f.log.JS.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := f.log.Conn.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-failed:
		if err == nil || !strings.Contains(err.Error(), "has grown") {
			t.Errorf("it ends with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it goes on")
	}
}

func TestPermissions_ArePartitionedWithTheStreams(t *testing.T) {
	f := newFixture(t)
	before := f.counters().Permissions(f.streams)
	grown, err := f.streams.WithWanted(map[string]int{kittest.Stream: 2})
	if err != nil {
		t.Fatal(err)
	}
	after := f.counters().Permissions(grown)
	if !after.Include(before) {
		t.Error("something is not permitted any more")
	}
	for _, subject := range []string{"events.counter-1.*.*", "$JS.API.CONSUMER.MSG.NEXT.COUNTERS-1.counters-echo",
		"$JS.API.STREAM.INFO.COUNTERS-1", "deadletters.counters-echo.COUNTERS-1.*"} {
		if !after.Include(natsauth.AllowPublish(subject)) {
			t.Errorf("%s is not permitted", subject)
		}
	}
}
