package service_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"lonja/kit/bus"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
)

// published is one call of the publisher of events, as a decorator saw it.
type published struct {
	handler, publisher, topic, id, sequence string
	closed                                  int // how often the decorator had been closed
	err                                     error
}

// recorder is a decorator that notes what is published. Before may do something to a
// message, or return an error instead of passing it on.
type recorder struct {
	message.Publisher
	before func(topic string, m *message.Message) error
	mu     sync.Mutex
	seen   []published
	closed int
}

func (r *recorder) decorate(p message.Publisher) (message.Publisher, error) {
	r.Publisher = p
	return r, nil
}

func (r *recorder) Publish(topic string, messages ...*message.Message) error {
	for _, m := range messages {
		err := error(nil)
		if r.before != nil {
			err = r.before(topic, m)
		}
		if err == nil {
			err = r.Publisher.Publish(topic, m)
		}
		r.mu.Lock()
		r.seen = append(r.seen, published{message.HandlerNameFromCtx(m.Context()), message.PublisherNameFromCtx(m.Context()),
			topic, m.UUID, m.Metadata.Get(eventlog.MetaSequence), r.closed, err})
		r.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed++
	return r.Publisher.Close()
}

// on are the calls about one counter.
func (r *recorder) on(counter string) (calls []published) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.seen {
		if p.topic == "events.counter."+counter+".added" {
			calls = append(calls, p)
		}
	}
	return calls
}

// TestPublisher_AConflictIsDecidedAgainAtOnce records another event of the same entity
// between a decision and its append. The decision is made again on the state after that
// event, within one call of the handler and one delivery of its message.
func TestPublisher_AConflictIsDecidedAgainAtOnce(t *testing.T) {
	f := newFixture(t)
	var rivals sync.Map
	r := &recorder{before: func(topic string, _ *message.Message) error {
		counter := strings.Split(topic, ".")[2]
		if _, raced := rivals.LoadOrStore(counter, true); !raced && (counter == "c" || counter == "echo-c") {
			f.log.Add(counter, 1000)
		}
		return nil
	}}
	f.decorators = []message.PublisherDecorator{r.decorate}
	var handled atomic.Int64
	f.middleware = []message.HandlerMiddleware{func(h message.HandlerFunc) message.HandlerFunc {
		return func(m *message.Message) ([]*message.Message, error) {
			if message.HandlerNameFromCtx(m.Context()) == "counters.add" {
				handled.Add(1)
			}
			return h(m)
		}
	}}
	f.start()
	reply, err := f.Send(t.Context(), add{"c", 3}, eventlog.Envelope{})
	if err != nil || string(reply.Body) != "1003" || reply.Replayed {
		t.Fatalf("answer %+v, %v", reply, err)
	}
	if n := handled.Load(); n != 1 {
		t.Errorf("the command was handled %d times", n)
	}
	f.awaitTotal("c", 1003)
	f.awaitTotal("echo-c", 1000+1003) // the rival's event on c has its echo, too
	if tries := f.tries.Load(); tries != 2 {
		t.Errorf("the reaction to two events was begun %d times", tries)
	}
	for _, counter := range []string{"c", "echo-c"} {
		calls, lost := r.on(counter), 0
		for _, p := range calls {
			if errors.Is(p.err, eventlog.ErrConflict) {
				lost++
			}
		}
		if lost == 0 || calls[len(calls)-1].err != nil {
			t.Errorf("published on %s: %+v", counter, calls)
		}
	}
	f.eventually(func() error {
		cons, err := f.log.JS.Consumer(t.Context(), kittest.Stream, "counters-echo")
		if err != nil {
			return err
		}
		if info := cons.CachedInfo(); info.AckFloor.Stream != 5 || info.Delivered.Consumer != 5 {
			return fmt.Errorf("5 events are on the stream, handled up to %d with %d deliveries", info.AckFloor.Stream, info.Delivered.Consumer)
		}
		return nil
	})
	f.awaitDeadLetters(0)
}

// TestPublisher_APermanentFailureReachesTheDeadLetters lets the publisher of one
// reaction's events fail for ever, in a decorator or since no message may be so large.
// Once that is mended, a retry of the dead letter records the event.
func TestPublisher_APermanentFailureReachesTheDeadLetters(t *testing.T) {
	for name, test := range map[string]struct {
		fail   func(*message.Message) error
		reason string
	}{
		"a decorator fails": {func(*message.Message) error { return errors.New("the tracer is gone") }, "the tracer is gone"},
		"it is too large": {func(m *message.Message) error {
			m.Payload = make([]byte, 2<<20)
			return nil
		}, "larger than a message may be"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			var mended atomic.Bool
			r := &recorder{before: func(topic string, m *message.Message) error {
				if strings.Contains(topic, "echo-c") && !mended.Load() {
					return test.fail(m)
				}
				return nil
			}}
			f.decorators = []message.PublisherDecorator{r.decorate}
			var mu sync.Mutex
			var outcomes []string // of the reaction, as middleware sees them
			f.middleware = []message.HandlerMiddleware{func(h message.HandlerFunc) message.HandlerFunc {
				return func(m *message.Message) ([]*message.Message, error) {
					out, err := h(m)
					if mu.Lock(); m.Metadata.Get(eventlog.MetaSequence) == "1" && message.HandlerNameFromCtx(m.Context()) == "counters-echo" {
						outcomes = append(outcomes, fmt.Sprint(err != nil && strings.Contains(err.Error(), test.reason)))
					}
					mu.Unlock()
					return out, err
				}
			}}
			f.start()
			if seq := f.log.Add("c", 5); seq != 1 {
				t.Fatalf("recorded at %d", seq)
			}
			f.log.Add("d", 2)
			f.awaitTotal("echo-d", 2) // it holds up nobody
			l := f.awaitDeadLetters(1)[0]
			if l.Consumer != "counters-echo" || l.Stream != kittest.Stream || l.Sequence != 1 || !strings.Contains(l.Reason, test.reason) {
				t.Errorf("dead letter %+v", l)
			}
			if calls := r.on("echo-c"); len(calls) != 6 {
				t.Errorf("published %d times: %+v", len(calls), calls)
			}
			mu.Lock()
			if got := fmt.Sprint(outcomes); got != "[true true true true true false]" { // the last one is salvaged
				t.Errorf("the middleware saw errors: %s", got)
			}
			mu.Unlock()
			mended.Store(true)
			if to, err := bus.NewDeadLetterQueue(f.log.JS).Retry(t.Context(), l.ID, f.streams); err != nil || fmt.Sprint(to) != "[counters-echo]" {
				t.Fatal(to, err)
			}
			f.awaitTotal("echo-c", 5)
			f.awaitDeadLetters(0)
		})
	}
}

// TestPublisher_NothingElsePublishesEvents runs a command, reactions, a deferred command
// and a retry, and compares the log with what went through the publisher.
func TestPublisher_NothingElsePublishesEvents(t *testing.T) {
	f := newFixture(t)
	r := &recorder{}
	f.decorators = []message.PublisherDecorator{r.decorate}
	stop := f.start()
	if _, err := f.Send(t.Context(), add{"c", 3}, eventlog.Envelope{}); err != nil {
		t.Fatal(err)
	}
	f.awaitTotal("echo-c", 3)
	if stop(); r.closed != 1 {
		t.Errorf("closed %d times", r.closed)
	}
	r.closed = 0
	if err := f.Defer(t.Context(), add{"d", 4}, eventlog.Envelope{ID: eventlog.NewID()}); err != nil {
		t.Fatal(err)
	}
	f.broken.Store(true)
	f.start()
	f.awaitTotal("d", 4)
	l := f.awaitDeadLetters(1)[0]
	f.broken.Store(false)
	if _, err := bus.NewDeadLetterQueue(f.log.JS).Retry(t.Context(), l.ID, f.streams); err != nil {
		t.Fatal(err)
	}
	f.awaitTotal("echo-d", 4)
	byPublisher, handlers := map[string]string{}, map[string]bool{}
	r.mu.Lock()
	for _, p := range r.seen {
		if p.err == nil {
			byPublisher[p.sequence] = p.topic + " " + p.id
		}
		if handlers[p.handler] = true; p.publisher != "eventlog.Publisher" || p.closed != 0 {
			t.Errorf("handler %q published with %q", p.handler, p.publisher)
		}
	}
	r.mu.Unlock()
	for _, name := range []string{"counters.add", "counters-echo", "counters-deferred", "counters-retries"} {
		if !handlers[name] {
			t.Errorf("nothing was published by %s", name)
		}
	}
	last, err := f.log.End(t.Context(), kittest.Stream)
	if err != nil || int(last) != len(byPublisher) {
		t.Errorf("%d events were published, and the log ends at %d (%v)", len(byPublisher), last, err)
	}
	for seq := uint64(1); seq <= last; seq++ {
		stored, err := f.log.At(t.Context(), kittest.Stream, seq)
		if got := byPublisher[fmt.Sprint(seq)]; err != nil || got != stored.Subject+" "+stored.ID {
			t.Errorf("%d holds %s %s, published was %q (%v)", seq, stored.Subject, stored.ID, got, err)
		}
	}
}

// TestMiddleware_MessagesHandledTwiceTakeEffectOnce has Watermill's Duplicator handle every
// message twice.
func TestMiddleware_MessagesHandledTwiceTakeEffectOnce(t *testing.T) {
	f := newFixture(t)
	f.middleware = []message.HandlerMiddleware{middleware.Duplicator}
	stop := f.start()
	if _, err := f.Send(t.Context(), add{"c", 3}, eventlog.Envelope{}); err != nil {
		t.Fatal(err)
	}
	f.awaitTotal("echo-c", 3)
	stop()
	left := eventlog.NewID()
	if err := f.Defer(t.Context(), add{"c", 4}, eventlog.Envelope{ID: left}); err != nil {
		t.Fatal(err)
	}
	f.start()
	f.awaitTotal("echo-c", 7)
	f.awaitTotal("c", 7)
	f.eventually(func() error {
		o, _, err := f.Outcome(t.Context(), left)
		if tries := f.tries.Load(); err == nil && (o.Status != bus.OutcomeDone || tries != 4) {
			err = fmt.Errorf("outcome %+v; two events were reacted to %d times, not twice each", o, tries)
		}
		return err
	})
}

// TestHandler_StoresADeadLetterAfterItsTimeout ends the time of a reaction whose last try fails.
func TestHandler_StoresADeadLetterAfterItsTimeout(t *testing.T) {
	f := newFixture(t)
	f.middleware = []message.HandlerMiddleware{func(h message.HandlerFunc) message.HandlerFunc {
		return func(m *message.Message) ([]*message.Message, error) {
			if message.HandlerNameFromCtx(m.Context()) == "counters-retries" {
				ended, end := context.WithCancel(m.Context())
				end()
				m.SetContext(ended)
			}
			return h(m)
		}
	}}
	f.start()
	f.publish("retries.counters.nonsense", nil, "")
	if l := f.awaitDeadLetters(1)[0]; l.Consumer != "counters-retries" {
		t.Errorf("dead letter %+v", l)
	}
}
