package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/kittest/baddisk"
)

// add appends the first event of a counter.
func add(ctx context.Context, l *eventlog.Log, counter string) error {
	_, err := l.Append(ctx, kittest.Stream, "events.counter."+counter+".>", 0,
		eventlog.Envelope{ID: eventlog.NewID(), Causation: "w", Time: time.Now()}, kittest.Added{Counter: counter, By: 1})
	return err
}

func TestAppend_FailsAtOnceWhileAnotherProbesTheStream(t *testing.T) {
	log := kittest.New(t)
	l, dialer := connectLossy(t, log, "events.counter.")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dialer.all.Store(true)
	if err := add(ctx, l, "first"); !errors.Is(err, eventlog.ErrOutcomeUnknown) {
		t.Fatalf("append without an answer: %v", err)
	}
	if err := l.Outage(); err != nil { // this process may have been paused
		t.Errorf("outage after a single timeout: %v", err)
	}
	if err := add(ctx, l, "second"); !errors.Is(err, eventlog.ErrOutcomeUnknown) {
		t.Fatalf("append without an answer: %v", err)
	}
	if l.Outage() == nil {
		t.Error("no outage is reported after two timeouts")
	}
	var unknown, unavailable int
	var mu sync.Mutex
	var appending sync.WaitGroup
	for i := range 50 {
		appending.Go(func() {
			err := add(ctx, l, fmt.Sprint("more-", i))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, eventlog.ErrOutcomeUnknown):
				unknown++
			case errs.Is(err, errs.Unavailable) && strings.Contains(err.Error(), kittest.Stream):
				unavailable++
			default:
				t.Errorf("got %v", err)
			}
		})
	}
	appending.Wait()
	if unknown != 1 || unavailable != 49 {
		t.Errorf("%d waited for the stream and %d failed at once, want 1 and 49", unknown, unavailable)
	}
	dialer.all.Store(false)
	for i := range 3 {
		if err := add(ctx, l, fmt.Sprint("healed-", i)); err != nil {
			t.Errorf("append after the stream answers again: %v", err)
		}
	}
	if err := l.Outage(); err != nil {
		t.Errorf("outage after a success: %v", err)
	}
}

func TestAppend_SingleTimeoutDoesNotAffectOthers(t *testing.T) {
	log := kittest.New(t)
	l, dialer := connectLossy(t, log, "events.counter.lost.")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	lost := make(chan error, 1)
	go func() { lost <- add(ctx, l, "lost") }()
	for dialer.lost.Load() == 0 { // what is written together is lost together
		runtime.Gosched()
	}
	for i := 0; ; i++ {
		select {
		case err := <-lost:
			if !errors.Is(err, eventlog.ErrOutcomeUnknown) || dialer.lost.Load() != 1 || i == 0 {
				t.Errorf("got %v after %d others", err, i)
			}
			if err := l.Outage(); err != nil {
				t.Errorf("outage after a single timeout: %v", err)
			}
			return
		default:
			if err := add(ctx, l, fmt.Sprint("other-", i)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestAppend_FailsAtOnceWhenTheStoreStops(t *testing.T) {
	log := kittest.New(t)
	l, dialer := connectLossy(t, log, "events.counter.")
	dialer.all.Store(true)
	var mu sync.Mutex
	store, stop := context.WithCancelCause(context.Background())
	l.StoreContext = func() context.Context {
		mu.Lock()
		defer mu.Unlock()
		return store
	}
	inFlight := make(chan error, 1)
	go func() { inFlight <- add(t.Context(), l, "a") }()
	for dialer.lost.Load() == 0 {
		runtime.Gosched() // until the append is in flight
	}
	stop(errors.New("the disk is full"))
	check := func(err error) {
		t.Helper()
		if r, ok := errs.As(err); !ok || r.Code != errs.Unavailable || !strings.Contains(r.Detail, "the disk is full") {
			t.Errorf("got %v", err)
		}
	}
	check(<-inFlight)
	check(add(t.Context(), l, "b"))
	check(l.Outage())
	if sent := dialer.lost.Load(); sent != 1 {
		t.Errorf("%d appends were sent, want only the first", sent)
	}
	dialer.all.Store(false)
	mu.Lock()
	store = context.Background()
	mu.Unlock()
	if err := add(t.Context(), l, "c"); err != nil || l.Outage() != nil {
		t.Errorf("after the store takes events again: append %v, outage %v", err, l.Outage())
	}
}

// The server shows a message whose sync failed, although it has not acknowledged it. The
// message is gone once the store has been opened again.
func TestLast_NeverReturnsAMessageThatWasNotSynced(t *testing.T) {
	log := kittest.NewSynced(t)
	recorded := log.Add("c", 1)
	healthy := log.Server.Healthy()
	log.InjectFault(baddisk.NoSync)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, _ = log.JS.Publish(ctx, "events.counter.c.added", []byte("not synced"))
	for healthy.Err() == nil || log.Server.Healthy().Err() != nil {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // the server may stop without an answer
		last, err := log.Last(ctx, kittest.Stream, filter)
		cancel()
		if err == nil && last > recorded {
			t.Fatalf("Last returned %d, but the store has acknowledged only %d", last, recorded)
		}
	}
	if err := add(t.Context(), log.Log, "another"); err != nil || log.DataLoss() != nil {
		t.Errorf("append after the store was opened again: %v, data loss: %v", err, log.DataLoss())
	}
}
