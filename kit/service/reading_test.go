package service_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/service"
)

// safeLog is a log that goroutines share.
type safeLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *safeLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *safeLog) lines(with string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, with) {
			found = append(found, line)
		}
	}
	return found
}

// overdue is a context whose deadline the test brings about.
type overdue struct {
	context.Context
	once sync.Once
	done chan struct{}
}

func (o *overdue) end() { o.once.Do(func() { close(o.done) }) }

func (o *overdue) Done() <-chan struct{} { return o.done }

func (o *overdue) Err() error {
	select {
	case <-o.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// sums is a service that adds all that is added to a counter to the counter "all", which has many events. The
// time of a handler of five is over whenever it has folded five hundred of them.
func (f *fixture) sums() *service.Service {
	var folded atomic.Int64
	var current atomic.Pointer[overdue]
	f.middleware = append(f.middleware, func(next message.HandlerFunc) message.HandlerFunc {
		return func(m *message.Message) ([]*message.Message, error) {
			if !bytes.Contains(m.Payload, []byte(`"by":5`)) { // one of the many, which is nothing to react to
				return next(m)
			}
			ctx := &overdue{Context: m.Context(), done: make(chan struct{})}
			defer ctx.end()
			m.SetContext(ctx)
			current.Store(ctx)
			return next(m)
		}
	})
	all := decider.New(decider.EntityType[int]{Subject: "events.counter", Stream: kittest.Stream,
		Evolve: func(n int, e eventlog.Event, _ time.Time) int {
			if folded.Add(1)%500 == 0 {
				current.Load().end()
			}
			return n + e.(kittest.Added).By
		}})
	return &service.Service{
		Name: "counters",
		Commands: []service.Command{service.Handle(all, func(_ int, c add, _ decider.Meta) (eventlog.Event, error) {
			return kittest.Added{Counter: c.Counter, By: c.By}, nil
		}).Reply(func(n int, _ eventlog.Event) any { return n })},
		Reactions: []service.Reaction{{Consumer: "counters-echo", Handlers: []service.Handler{
			service.React(all, func(e kittest.Added) string {
				if e.Counter == "all" {
					return ""
				}
				return "all"
			}, func(_ int, e kittest.Added, m decider.Meta) (eventlog.Event, error) {
				return kittest.Added{Counter: m.EntityID, By: e.By}, nil
			})}}},
	}
}

// many is how many events the counter "all" has.
const many = 1800

func (f *fixture) withMany() (log *safeLog) {
	f.addMany(many, func(int) string { return "all" })
	log = &safeLog{}
	f.logger = slog.New(slog.NewTextHandler(log, nil))
	return log
}

// wantQuiet verifies that reading was logged once, and nothing as an error.
func (l *safeLog) wantQuiet(t *testing.T) {
	t.Helper()
	if got := l.lines("level=ERROR"); len(got) > 0 {
		t.Errorf("errors %q", got)
	}
	if got := l.lines("level=WARN"); len(got) != 1 || !strings.Contains(got[0], "is being read") || !strings.Contains(got[0], "entity=events.counter.all.>") {
		t.Errorf("warnings %q", got)
	}
	if got := l.lines("an entity was read"); len(got) != 1 {
		t.Errorf("read %q", got)
	}
}

func TestReaction_IsRetriedQuietlyWhileItsEntityIsRead(t *testing.T) {
	f := newFixture(t)
	s := f.sums()
	log := f.withMany()
	f.log.Add("x", 5)
	f.run(s)
	f.eventually(func() error {
		if n := len(f.recorded("all")); n != many+1 {
			return fmt.Errorf("%d events", n)
		}
		return nil
	})
	f.awaitDeadLetters(0)
	log.wantQuiet(t)
}

func TestCommand_IsToldThatItsEntityIsRead(t *testing.T) {
	f := newFixture(t)
	s := f.sums()
	log := f.withMany()
	f.run(s)
	c, env := add{"all", 5}, eventlog.Envelope{ID: eventlog.NewID()}
	refused := 0
	f.eventually(func() error {
		receipt, err := f.Send(t.Context(), c, env)
		if err == nil && string(receipt.Body) != fmt.Sprint(many+5) {
			t.Fatalf("answer %s", receipt.Body)
		}
		if err != nil {
			if refused++; !errs.Is(err, errs.Unavailable) || !strings.Contains(err.Error(), "all is being read from the log, ") {
				t.Fatal(err)
			}
		}
		return err
	})
	if refused == 0 {
		t.Error("it was not refused")
	}
	log.wantQuiet(t)
}
