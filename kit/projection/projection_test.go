package projection_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/projection"
)

var totals = projection.Definition{
	Name:   "totals",
	Schema: `CREATE TABLE totals (counter TEXT PRIMARY KEY, total INTEGER NOT NULL);`,
	Reads:  []projection.Source{{Stream: kittest.Stream, Subjects: []string{"events.counter.>"}}},
	Project: func(tx *projection.Tx, r eventlog.Record) error {
		e := r.Event.(kittest.Added)
		return tx.Exec(`INSERT INTO totals (counter, total) VALUES (?, ?) ON CONFLICT (counter) DO UPDATE SET total = total + excluded.total`, e.Counter, e.By)
	},
}

// consumerPrefix is the prefix of the views' durable consumers.
const consumerPrefix = "test-a"

var (
	durable   = consumerPrefix + "-totals-" + strings.ToLower(kittest.Stream) // the consumer of totals
	addedType = kittest.Codec.Type(kittest.Added{})
)

// harness runs views on one stream and one directory, one after the other.
type harness struct {
	t           *testing.T
	log         *kittest.Log
	dir         string
	deadLetters []uint64
}

func newHarness(t *testing.T) *harness { return &harness{t: t, log: kittest.New(t), dir: t.TempDir()} }

func (h *harness) open(def projection.Definition) (*projection.View, error) {
	return h.openAs(consumerPrefix, def)
}

// openAs opens a view as the replica whose consumers have a prefix.
func (h *harness) openAs(replica string, def projection.Definition) (*projection.View, error) {
	v := projection.New(def)
	err := v.Open(h.t.Context(), projection.Config{
		JetStream: h.log.JS, Log: h.log.Log, Dir: h.dir, Consumer: replica, Logger: slog.New(slog.DiscardHandler), CheckInterval: 10 * time.Millisecond,
		DeadLetter: func(_ context.Context, r eventlog.Record) error {
			h.deadLetters = append(h.deadLetters, r.Sequence)
			return nil
		},
	})
	return v, err
}

// run runs a view. stop stops and closes it, and returns what Run returned.
func (h *harness) run(def projection.Definition) (v *projection.View, stop func() error) {
	h.t.Helper()
	return h.runAs(consumerPrefix, def)
}

func (h *harness) runAs(replica string, def projection.Definition) (v *projection.View, stop func() error) {
	h.t.Helper()
	v, err := h.openAs(replica, def)
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(h.t.Context())
	result := make(chan error, 1)
	go func() { result <- v.Run(ctx) }()
	return v, func() error {
		cancel()
		return errors.Join(<-result, v.Close())
	}
}

func (h *harness) await(v *projection.View, seq uint64) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 10*time.Second)
	defer cancel()
	if err := v.Await(ctx, projection.Token{kittest.Stream: seq}); err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) wantTotal(v *projection.View, counter string, want int) {
	h.t.Helper()
	var got int
	if _, err := v.Get(h.t.Context(), `SELECT total FROM totals WHERE counter = ?`, []any{counter}, &got); err != nil || got != want {
		h.t.Errorf("total of %s is %d, want %d (%v)", counter, got, want, err)
	}
}

// eventually tries until there is no error, at most for ten seconds.
func (h *harness) eventually(try func() error) {
	h.t.Helper()
	deadline, tick := time.After(10*time.Second), time.NewTicker(2*time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			h.t.Fatal(err)
		}
	}
}

// total returns the total of a counter that the view has now.
func (h *harness) total(v *projection.View, counter string) (total int, err error) {
	_, err = v.Get(h.t.Context(), `SELECT total FROM totals WHERE counter = ?`, []any{counter}, &total)
	return total, err
}

func (h *harness) awaitTotal(v *projection.View, counter string, want int) {
	h.t.Helper()
	h.eventually(func() error {
		got, err := h.total(v, counter)
		if err == nil && got != want {
			err = fmt.Errorf("total of %s is %d, want %d", counter, got, want)
		}
		return err
	})
}

// file returns the only finished file of the view "totals". The test fails when there is
// none or more than one.
func (h *harness) file() string {
	h.t.Helper()
	files, err := filepath.Glob(filepath.Join(h.dir, "totals-*.db"))
	if err != nil || len(files) != 1 {
		h.t.Fatalf("files %v, %v", files, err)
	}
	return files[0]
}

func TestView_FollowsItsStreamAcrossRestarts(t *testing.T) {
	h := newHarness(t)
	h.log.Add("c", 1)
	v, stop := h.run(totals)
	h.await(v, h.log.Add("c", 2))
	h.wantTotal(v, "c", 3)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	h.log.Add("c", 4)
	v, stop = h.run(totals)
	h.await(v, h.log.Add("c", 8))
	h.wantTotal(v, "c", 15)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func TestView_SendsUndecodableMessagesToDeadLettersAndContinues(t *testing.T) {
	h := newHarness(t)
	poison := h.log.Poison("events.counter.c.added", "not JSON")
	v, stop := h.run(totals)
	h.await(v, h.log.Add("c", 1))
	h.wantTotal(v, "c", 1)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if len(h.deadLetters) != 1 || h.deadLetters[0] != poison {
		t.Errorf("dead letters %v, want [%d]", h.deadLetters, poison)
	}
}

func TestView_StopsAtAProjectionErrorAndResumesOnceItIsFixed(t *testing.T) {
	h := newHarness(t)
	buggy := totals
	buggy.Project = func(tx *projection.Tx, r eventlog.Record) error {
		if r.Event.(kittest.Added).By == 2 {
			panic("two")
		}
		return totals.Project(tx, r)
	}
	h.log.Add("c", 1)
	h.log.Add("c", 2)
	last := h.log.Add("c", 4)
	v, err := h.open(buggy)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "panic: two") || v.Failed() == nil {
		t.Fatalf("the view should have stopped, got %v", err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	fixed, stop := h.run(totals)
	h.await(fixed, last)
	h.wantTotal(fixed, "c", 7)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func TestView_RecreatesADeletedConsumerAtTheCheckpoint(t *testing.T) {
	h := newHarness(t)
	v, stop := h.run(totals)
	h.await(v, h.log.Add("c", 1))
	if err := h.log.JS.DeleteConsumer(t.Context(), kittest.Stream, durable); err != nil {
		t.Fatal(err)
	}
	h.await(v, h.log.Add("c", 2))
	h.wantTotal(v, "c", 3)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func TestView_ResetsAConsumerThatIsAheadOfTheCheckpoint(t *testing.T) {
	h := newHarness(t)
	v, stop := h.run(totals)
	h.await(v, h.log.Add("c", 1))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	last := h.log.Add("c", 2)
	cons, err := h.log.JS.Consumer(t.Context(), kittest.Stream, durable)
	if err != nil {
		t.Fatal(err)
	}
	m, err := cons.Next(jetstream.FetchMaxWait(5 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.DoubleAck(t.Context()); err != nil { // acknowledged, but not in the rows
		t.Fatal(err)
	}
	v, stop = h.run(totals)
	h.await(v, last)
	h.wantTotal(v, "c", 3)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func TestOpen_RejectsAReplacedStream(t *testing.T) {
	h := newHarness(t)
	v, stop := h.run(totals)
	h.await(v, h.log.Add("c", 1))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := h.log.JS.DeleteStream(t.Context(), kittest.Stream); err != nil {
		t.Fatal(err)
	}
	if _, err := h.log.JS.CreateStream(t.Context(), jetstream.StreamConfig{Name: kittest.Stream, Subjects: []string{"events.counter.>"}, AllowDirect: true}); err != nil {
		t.Fatal(err)
	}
	h.log.Add("c", 1)
	if v, err := h.open(totals); err == nil || !strings.Contains(err.Error(), "but the view was built from one created at") {
		t.Errorf("got %v", errors.Join(err, v.Close()))
	}
}

// A view that has a file but does not run is like one that is slow.
func TestAwait_ReturnsUnavailableWhenTheViewLags(t *testing.T) {
	h := newHarness(t)
	v, stop := h.run(totals)
	h.await(v, h.log.Add("c", 1))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	at := h.log.Add("c", 1)
	v, err := h.open(totals) // and does not run it
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := v.Await(ctx, projection.Token{kittest.Stream: at}); !errs.Is(err, errs.Unavailable) {
		t.Errorf("got %v", err)
	}
}

// No reader can have seen what is not recorded, so such a request is rejected and does not
// wait. There are so many requests that the stream is asked once for several of them.
func TestAwait_RejectsUnrecordedSequencesWithoutWaiting(t *testing.T) {
	h := newHarness(t)
	partial := totals
	partial.Name, partial.Reads = "some", []projection.Source{{Stream: kittest.Stream, Subjects: []string{"events.counter.c.*"}}}
	// A view that reads everything needs one request for the stream's end. The other one may need
	// a second one, to be sure of the last event that it reads.
	for requests, def := range map[int64]projection.Definition{1: totals, 2: partial} {
		v, stop := h.run(def)
		last := h.log.Add("c", 1)
		h.await(v, last)
		var asked atomic.Int64
		sub, err := h.log.JS.Conn().Subscribe("$JS.API.STREAM.INFO."+kittest.Stream, func(*nats.Msg) { asked.Add(1) })
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		const invalid = 1000
		rejected := make(chan error, invalid)
		began := time.Now()
		for range invalid {
			go func() { rejected <- v.Await(ctx, projection.Token{kittest.Stream: last + 999_999_999}) }()
		}
		for n := range 20 { // a sequence that is recorded meanwhile is not rejected
			if err := v.Await(ctx, projection.Token{kittest.Stream: h.log.Add("c", n)}); err != nil {
				t.Errorf("a recorded sequence: %v", err)
			}
		}
		for range invalid {
			if err := <-rejected; !errs.Is(err, errs.Invalid) {
				t.Fatalf("an unrecorded sequence: %v", err)
			}
		}
		if most := requests * (int64(time.Since(began)/(10*time.Millisecond)) + 2); asked.Load() > most {
			t.Errorf("the stream was asked %d times in %v", asked.Load(), time.Since(began))
		}
		cancel()
		if err := errors.Join(sub.Unsubscribe(), stop()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCatchUp_ShowsEveryEventRecordedBefore(t *testing.T) {
	h := newHarness(t)
	some := totals
	some.Reads = []projection.Source{{Stream: kittest.Stream, Subjects: []string{"events.counter.c.*"}}}
	v, stop := h.run(some)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := v.CatchUp(ctx); err != nil { // on an empty log
		t.Fatal(err)
	}
	for n := range 20 {
		h.log.Add("c", 1)
		h.log.Add("other", 1)
		if err := v.CatchUp(ctx); err != nil {
			t.Fatal(err)
		}
		h.wantTotal(v, "c", n+1)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	h.log.Add("c", 1)
	v, err := h.open(some) // and does not run it
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := v.CatchUp(ctx); !errs.Is(err, errs.Unavailable) {
		t.Errorf("a view that lags has caught up: %v", err)
	}
}

func TestToken_ParsesAndPrints(t *testing.T) {
	for in, want := range map[string]string{
		"":                          "",
		"ORDERS:17":                 "ORDERS:17",
		"ORDERS:3.ORDERS:2":         "ORDERS:3",
		"B:1.A:2":                   "A:2.B:1",
		"junk.ORDERS:x.A:1..":       "A:1",
		"A:99999999999999999999999": "",
	} {
		if got := projection.ParseToken(in).String(); got != want {
			t.Errorf("%q parses as %q, want %q", in, got, want)
		}
	}
}
