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

// add appends an event of a counter that has none yet.
func add(ctx context.Context, l *eventlog.Log, counter string) error {
	_, err := l.Append(ctx, kittest.Stream, "events.counter."+counter+".>", 0,
		eventlog.Envelope{ID: eventlog.NewID(), Causation: "w", Time: time.Now()}, kittest.Added{Counter: counter, By: 1})
	return err
}

func TestAppend_IsRefusedAtOnceWhileOneAsksASilentStream(t *testing.T) {
	log := kittest.New(t)
	l, way := behind(t, log, "events.counter.")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	way.all.Store(true)
	if err := add(ctx, l, "first"); !errors.Is(err, eventlog.ErrOutcomeUnknown) {
		t.Fatalf("without an answer: %v", err)
	}
	if err := l.Failing(); err != nil { // it may be the process that stood still
		t.Errorf("after one answer that did not come, %v", err)
	}
	if err := add(ctx, l, "second"); !errors.Is(err, eventlog.ErrOutcomeUnknown) {
		t.Fatalf("without an answer: %v", err)
	}
	if l.Failing() == nil {
		t.Error("nobody is told that the log gives no answer")
	}
	var unknown, refused int
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
				refused++
			default:
				t.Errorf("got %v", err)
			}
		})
	}
	appending.Wait()
	if unknown != 1 || refused != 49 {
		t.Errorf("%d waited for the stream and %d were refused, not 1 and 49", unknown, refused)
	}
	way.all.Store(false)
	for i := range 3 {
		if err := add(ctx, l, fmt.Sprint("healed-", i)); err != nil {
			t.Errorf("the stream answers again, and: %v", err)
		}
	}
	if err := l.Failing(); err != nil {
		t.Errorf("still %v", err)
	}
}

func TestAppend_OneLostAnswerRefusesNobodyElse(t *testing.T) {
	log := kittest.New(t)
	l, way := behind(t, log, "events.counter.lost.")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	lost := make(chan error, 1)
	go func() { lost <- add(ctx, l, "lost") }()
	for i := 0; ; i++ {
		select {
		case err := <-lost:
			if !errors.Is(err, eventlog.ErrOutcomeUnknown) || way.lost.Load() != 1 || i == 0 {
				t.Errorf("got %v after %d others", err, i)
			}
			if err := l.Failing(); err != nil {
				t.Errorf("the log is said to fail: %v", err)
			}
			return
		default:
			if err := add(ctx, l, fmt.Sprint("other-", i)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestAppend_EndsWhenTheStoreStops(t *testing.T) {
	log := kittest.New(t)
	l, way := behind(t, log, "events.counter.")
	way.all.Store(true)
	var mu sync.Mutex
	store, stop := context.WithCancelCause(context.Background())
	l.Store = func() context.Context {
		mu.Lock()
		defer mu.Unlock()
		return store
	}
	underWay := make(chan error, 1)
	go func() { underWay <- add(t.Context(), l, "a") }()
	for way.lost.Load() == 0 {
		runtime.Gosched() // until it is under way
	}
	stop(errors.New("the disk is full"))
	says := func(err error) {
		t.Helper()
		if r, ok := errs.As(err); !ok || r.Code != errs.Unavailable || !strings.Contains(r.Detail, "the disk is full") {
			t.Errorf("got %v", err)
		}
	}
	says(<-underWay)
	says(add(t.Context(), l, "b"))
	says(l.Failing())
	if sent := way.lost.Load(); sent != 1 {
		t.Errorf("%d appends were sent to a store that takes none", sent)
	}
	way.all.Store(false)
	mu.Lock()
	store = context.Background()
	mu.Unlock()
	if err := add(t.Context(), l, "c"); err != nil || l.Failing() != nil {
		t.Errorf("the store takes events again, and: %v, %v", err, l.Failing())
	}
}

// A message whose sync failed is shown by the server although nobody was told that
// it is recorded, and it is gone once the store has been opened again.
func TestLast_DoesNotBelieveWhatCouldNotBeSynced(t *testing.T) {
	log := kittest.NewSynced(t)
	recorded := log.Add("c", 1)
	well := log.Server.Healthy()
	log.InjectFault(baddisk.NoSync)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, _ = log.JS.Publish(ctx, "events.counter.c.added", []byte("nobody knows"))
	for well.Err() == nil || log.Server.Healthy().Err() != nil {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // an answer is lost with the server
		last, err := log.Last(ctx, kittest.Stream, filter)
		cancel()
		if err == nil && last > recorded {
			t.Fatalf("%d is believed to be recorded, and the store has acknowledged %d", last, recorded)
		}
	}
	if err := add(t.Context(), log.Log, "another"); err != nil || log.Lost() != nil {
		t.Errorf("it does not go on: %v, %v", err, log.Lost())
	}
}
