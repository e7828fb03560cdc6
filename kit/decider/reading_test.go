package decider_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
)

// long is a counter with more events than a request to the log returns.
const long = 1000

// slowReader is a decider whose folding can be stopped at an event.
type slowReader struct {
	*decider.Decider[int]
	logged bytes.Buffer
	folded atomic.Int64
	at     map[int64]func() // what happens after so many events
}

func newSlowReader(t *testing.T) *slowReader {
	t.Helper()
	log := kittest.New(t)
	for range long {
		log.Add("c", 1)
	}
	r := &slowReader{at: map[int64]func(){}}
	slow := counterType
	slow.Evolve = func(n int, e eventlog.Event, at time.Time) int {
		if then := r.at[r.folded.Add(1)]; then != nil {
			then()
		}
		return counterType.Evolve(n, e, at)
	}
	r.Decider = decider.New(slow)
	r.Bind(log.Log, decider.Config{Logger: slog.New(slog.NewTextHandler(&r.logged, nil))})
	return r
}

func (r *slowReader) add(ctx context.Context) (decider.Receipt, error) {
	c := decider.Command{EntityID: "c", Envelope: eventlog.Envelope{ID: eventlog.NewID(), Actor: eventlog.Actor{ID: "test"}}}
	return r.Decide(ctx, c, func(int, decider.Meta) (eventlog.Event, error) { return kittest.Added{Counter: "c", By: 1}, nil }, func(n int, _ eventlog.Event) any { return n })
}

// wantReading verifies that an error says that the counter is being read.
func wantReading(t *testing.T, err error) {
	t.Helper()
	if e, coded := errs.As(err); !errors.Is(err, decider.ErrReading) || !coded || e.Code != errs.Unavailable || !strings.HasPrefix(e.Detail, "c is being read from the log, ") {
		t.Errorf("got %v", err)
	}
}

func TestDecide_ReadsALongEntityInSeveralTriesAndWarnsOnce(t *testing.T) {
	r := newSlowReader(t)
	first, endFirst := context.WithCancel(t.Context())
	second, endSecond := context.WithCancel(t.Context())
	waiting, waited := make(chan struct{}), make(chan struct{})
	r.at[10] = endFirst
	r.at[600] = func() {
		close(waiting)
		<-waited
		endSecond()
	}
	_, err := r.add(first)
	wantReading(t, err)
	if got := r.logged.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=WARN") || !strings.Contains(got, "entity=events.counter.c.>") {
		t.Errorf("logged %q", got)
	}
	result := make(chan error, 1)
	go func() {
		_, err := r.add(second)
		result <- err
	}()
	<-waiting
	_, err = r.add(first) // waits for the second, and its time is over
	wantReading(t, err)
	close(waited)
	wantReading(t, <-result)
	wantReading(t, r.Peek(first, "c", func(int) {}))

	receipt, err := r.add(t.Context())
	if err != nil || receipt.Reply != long+1 {
		t.Errorf("receipt %+v, %v", receipt, err)
	}
	if n := r.folded.Load(); n != long+1 {
		t.Errorf("%d events were folded, want each once", n)
	}
	got := strings.Split(strings.TrimSpace(r.logged.String()), "\n")
	if len(got) != 2 || !strings.Contains(got[1], "level=INFO") || !strings.Contains(got[1], "events=1000") {
		t.Errorf("logged %q", got)
	}
}

func TestPast_OfALongEntityIsReadInSeveralTriesAndWarnsOnce(t *testing.T) {
	r := newSlowReader(t)
	first, end := context.WithCancel(t.Context())
	read := 0
	p := r.Past("c", func(e eventlog.Record) string {
		if read++; read == 10 {
			end()
		}
		return "key"
	})
	for range 2 {
		_, _, err := p.Find(first, "key", 0, long)
		wantReading(t, err)
	}
	if event, through, err := p.Find(t.Context(), "key", 0, long); err != nil || event != long || through != long || read != long {
		t.Errorf("the last event is %d of %d, %v; %d were read, want each once", event, through, err, read)
	}
	if got := r.logged.String(); strings.Count(got, "level=WARN") != 1 || strings.Count(got, "level=INFO") != 1 {
		t.Errorf("logged %q", got)
	}
}

// What ends before the log has answered says nothing of the entity.
func TestDecide_ALogThatDoesNotAnswerIsNotTakenForReading(t *testing.T) {
	r := newSlowReader(t)
	over, end := context.WithCancel(t.Context())
	end()
	if _, err := r.add(over); err == nil || errors.Is(err, decider.ErrReading) || !errs.Is(err, errs.Unavailable) {
		t.Errorf("got %v", err)
	}
	if got := r.logged.String(); got != "" {
		t.Errorf("logged %q", got)
	}
}
