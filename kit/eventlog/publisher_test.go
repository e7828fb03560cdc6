package eventlog_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
)

const subject = "events.counter.c.added"

// event returns an event of the counter c, to be appended unconditionally.
func event(id string) *message.Message {
	m := message.NewMessage(id, []byte(`{"counter":"c","by":1}`))
	m.Metadata = eventlog.Envelope{ID: id, Type: "kittest.counter.added.v1", Causation: "w-" + id}.Metadata()
	m.Metadata[eventlog.ExpectedStream] = kittest.Stream
	return m
}

// after adds the condition that the counter's last event has the sequence.
func after(m *message.Message, seq int) *message.Message {
	m.Metadata[eventlog.ExpectedSequence], m.Metadata[eventlog.ExpectedFilter] = fmt.Sprint(seq), filter
	return m
}

// place returns where a message is stored, followed by "true" if it is a duplicate.
func place(m *message.Message) string {
	return m.Metadata.Get(eventlog.MetaStream) + ":" + m.Metadata.Get(eventlog.MetaSequence) + m.Metadata.Get(eventlog.MetaDuplicate)
}

func TestPublisher_ReturnsTheSequence(t *testing.T) {
	log := kittest.New(t)
	p := eventlog.NewPublisher(log.JS)
	first, second := after(event("a"), 0), after(event("b"), 1)
	if err := p.Publish(subject, first, second); err != nil || place(first) != "COUNTERS:1" || place(second) != "COUNTERS:2" {
		t.Errorf("at %s and %s: %v", place(first), place(second), err)
	}
	conflicting, next := after(event("c"), 1), after(event("d"), 2)
	if err := p.Publish(subject, conflicting, next); !errors.Is(err, eventlog.ErrConflict) || place(conflicting) != ":" || place(next) != ":" {
		t.Errorf("conflict: at %s and %s: %v", place(conflicting), place(next), err)
	}
	// Published again with the right condition, the message is stored.
	if conflicting.Metadata[eventlog.ExpectedSequence] = "2"; p.Publish(subject, conflicting) != nil || place(conflicting) != "COUNTERS:3" {
		t.Errorf("published again, the message is at %s", place(conflicting))
	}
}

func TestPublisher_ReportsADuplicate(t *testing.T) {
	log := kittest.New(t)
	p := eventlog.NewPublisher(log.JS)
	for i, want := range []string{"COUNTERS:1", "COUNTERS:1true"} {
		m := event("a")
		m.Metadata[jetstream.MsgIDHeader] = "a"
		if err := p.Publish(subject, m); err != nil || place(m) != want {
			t.Errorf("call %d: at %s: %v", i, place(m), err)
		}
	}
	// Metadata of an earlier call does not make another message a duplicate.
	m := event("b")
	m.Metadata[eventlog.MetaDuplicate] = "true"
	if err := p.Publish(subject, m); err != nil || place(m) != "COUNTERS:2" {
		t.Errorf("at %s: %v", place(m), err)
	}
}

func TestPublisher_StoresNoProcessMetadata(t *testing.T) {
	log := kittest.New(t)
	m := event("a")
	m.Metadata["mine"] = "x"
	m.Metadata[eventlog.MetaPrefix+"reply"] = "_INBOX.x"
	m.Metadata[eventlog.MetaSequence] = "77"
	if err := eventlog.NewPublisher(log.JS).Publish(subject, m); err != nil || place(m) != "COUNTERS:1" {
		t.Fatalf("at %s: %v", place(m), err)
	}
	got := stored(t, log, 1)
	if strings.Contains(got, eventlog.MetaPrefix) || !strings.Contains(got, "\nmine: x\n") || !strings.Contains(got, "\n_watermill_message_uuid: a\n") {
		t.Errorf("stored is %s", got)
	}
}

func TestPublisher_RejectsAMessageWithoutAStream(t *testing.T) {
	log := kittest.New(t)
	if err := eventlog.NewPublisher(log.JS).Publish(subject, message.NewMessage("a", nil)); err == nil || !strings.Contains(err.Error(), eventlog.ExpectedStream) {
		t.Errorf("got %v", err)
	}
	if end, err := log.End(t.Context(), kittest.Stream); err != nil || end != 0 {
		t.Errorf("the stream ends at %d, %v", end, err)
	}
}

// A subject may belong to another stream than the program believes. The event is stored
// there, so nothing more is appended until somebody has looked.
func TestPublisher_AcknowledgesNoEventOnAnotherStream(t *testing.T) {
	log := kittest.New(t)
	m := event("a")
	m.Metadata[eventlog.ExpectedStream] = "OTHER"
	err := log.Publisher().Publish(subject, m)
	if !errs.Is(err, errs.Unavailable) || !strings.Contains(err.Error(), "COUNTERS stored an event at 1 that belongs on OTHER") || place(m) != ":" {
		t.Errorf("at %s: %v", place(m), err)
	}
	if loss := log.DataLoss(); !errors.Is(err, loss) {
		t.Errorf("the loss is %v", loss)
	}
	if err := add(t.Context(), log.Log, "c"); !errs.Is(err, errs.Unavailable) {
		t.Errorf("the next append: %v", err)
	}
	if end, err := log.End(t.Context(), kittest.Stream); err != nil || end != 1 {
		t.Errorf("the stream ends at %d, %v", end, err)
	}
}

// wrapped is a publisher that passes each message to around, which calls next to publish it.
type wrapped struct {
	message.Publisher
	around func(next func(...*message.Message) error, m *message.Message) error
}

func (w wrapped) Publish(topic string, messages ...*message.Message) error {
	for _, m := range messages {
		if err := w.around(func(ms ...*message.Message) error { return w.Publisher.Publish(topic, ms...) }, m); err != nil {
			return err
		}
	}
	return nil
}

func around(f func(next func(...*message.Message) error, m *message.Message) error) message.PublisherDecorator {
	return func(p message.Publisher) (message.Publisher, error) { return wrapped{p, f}, nil }
}

func TestDecorate_MakesTheFirstDecoratorOutermost(t *testing.T) {
	log := kittest.New(t)
	var passed []string
	note := func(name string) message.PublisherDecorator {
		return message.MessageTransformPublisherDecorator(func(m *message.Message) { passed = append(passed, name+" "+m.UUID) })
	}
	if err := log.Decorate(note("outer"), note("inner")); err != nil {
		t.Fatal(err)
	}
	if err := add(t.Context(), log.Log, "c"); err != nil || len(passed) != 2 || !strings.HasPrefix(passed[0], "outer ") || !strings.HasPrefix(passed[1], "inner ") {
		t.Errorf("passed %v, %v", passed, err)
	}
	failure := errors.New("no collector")
	if err := log.Decorate(func(message.Publisher) (message.Publisher, error) { return nil, failure }); !errors.Is(err, failure) {
		t.Errorf("failing decorator: %v", err)
	}
}

func TestDecorate_KeepsAWrappedConflict(t *testing.T) {
	log := kittest.New(t)
	log.Add("c", 1)
	err := log.Decorate(around(func(next func(...*message.Message) error, m *message.Message) error {
		if err := next(m); err != nil {
			return fmt.Errorf("traced: %w", err)
		}
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	if err := add(t.Context(), log.Log, "c"); !errors.Is(err, eventlog.ErrConflict) {
		t.Errorf("got %v", err)
	}
}

// Append does not report success without a sequence.
func TestDecorate_FailsAppendsWhenADecoratorLosesTheSequence(t *testing.T) {
	for name, f := range map[string]func(func(...*message.Message) error, *message.Message) error{
		"swallowed": func(func(...*message.Message) error, *message.Message) error { return nil },
		"copied":    func(next func(...*message.Message) error, m *message.Message) error { return next(m.CopyWithContext()) },
	} {
		log := kittest.New(t)
		if err := log.Decorate(around(f)); err != nil {
			t.Fatal(err)
		}
		if err := add(t.Context(), log.Log, "c"); err == nil || errors.Is(err, eventlog.ErrOutcomeUnknown) || !strings.Contains(err.Error(), "decorator") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
