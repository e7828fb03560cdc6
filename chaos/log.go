package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/events"
	"lonja/kit/eventlog"
)

// event is a message of the log. It is read straight from the stream and not with
// the kit's reader, so that a bug there cannot hide itself.
type event struct {
	stream    string
	sequence  uint64
	subject   string
	typ       string // "order.placed"
	causation string
	time      time.Time    // as the recording service says
	stored    time.Time    // by the server's clock
	data      events.Event // nil when it cannot be decoded
}

// eventLog is the whole log of orders, stock, payments and receipts.
type eventLog struct {
	all     []event
	caused  map[string][]event // by the command's id
	order   map[string][]event // by the order's id, stream by stream
	damaged []string           // what is wrong with the log itself
}

// readLog reads the streams from the first sequence to the last.
func readLog(ctx context.Context, js jetstream.JetStream) (*eventLog, error) {
	log := &eventLog{caused: map[string][]event{}, order: map[string][]event{}}
	for _, stream := range []string{"ORDERS", "INVENTORY", "PAYMENTS", "RECEIPTS"} {
		err := log.read(ctx, js, stream)
		if stream == "RECEIPTS" && errors.Is(err, jetstream.ErrStreamNotFound) {
			continue // an earlier version has none
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", stream, err)
		}
	}
	for _, f := range log.all {
		log.caused[f.causation] = append(log.caused[f.causation], f)
		if e, ok := f.data.(events.OfOrder); ok {
			log.order[string(e.Order())] = append(log.order[string(e.Order())], f)
		}
	}
	return log, nil
}

func (log *eventLog) read(ctx context.Context, js jetstream.JetStream, name string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return err
	}
	state := stream.CachedInfo().State
	if state.Msgs == 0 {
		return nil
	}
	if state.FirstSeq != 1 || state.NumDeleted > 0 {
		log.damaged = append(log.damaged, fmt.Sprintf("%s begins at %d and lacks %d messages", name, state.FirstSeq, state.NumDeleted))
	}
	cons, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	msgs, err := cons.Messages()
	if err != nil {
		return err
	}
	defer msgs.Stop()
	for last := uint64(0); last < state.LastSeq; {
		m, err := msgs.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("after %d of %d: %w", last, state.LastSeq, err)
		}
		f, err := log.decode(m)
		if err != nil {
			return err
		}
		if f.sequence != last+1 {
			log.damaged = append(log.damaged, fmt.Sprintf("%s: %d follows %d", name, f.sequence, last))
		}
		last = f.sequence
		log.all = append(log.all, f)
	}
	return nil
}

// countTypes adds the messages of each event type on a stream to counts.
func countTypes(ctx context.Context, js jetstream.JetStream, name string, counts map[string]int) error {
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return err
	}
	last := stream.CachedInfo().State.LastSeq
	cons, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{HeadersOnly: true})
	if err != nil {
		return err
	}
	msgs, err := cons.Messages()
	if err != nil {
		return err
	}
	defer msgs.Stop()
	for seq := uint64(0); seq < last; {
		m, err := msgs.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("read %s after %d of %d: %w", name, seq, last, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		counts[m.Headers().Get(eventlog.HeaderType)]++
		seq = meta.Sequence.Stream
	}
	return nil
}

func (log *eventLog) decode(m jetstream.Msg) (event, error) {
	meta, err := m.Metadata()
	if err != nil {
		return event{}, err
	}
	h := m.Headers()
	f := event{stream: meta.Stream, sequence: meta.Sequence.Stream, subject: m.Subject(), stored: meta.Timestamp, causation: h.Get(eventlog.HeaderCausation)}
	f.time, _ = time.Parse(time.RFC3339Nano, h.Get(eventlog.HeaderTime)) // poison messages have none
	if f.data, err = events.Decode(h.Get(eventlog.HeaderType), m.Data()); err != nil {
		f.data = nil
		return f, nil
	}
	f.typ = f.data.EventName()[:len(f.data.EventName())-len(".v1")]
	return f, nil
}

// of returns the events of a type about an order.
func (log *eventLog) of(order, typ string) (found []event) {
	for _, f := range log.order[order] {
		if f.typ == typ {
			found = append(found, f)
		}
	}
	return found
}

// count returns the number of events of a type.
func (log *eventLog) count(typ string) (n int) {
	for _, f := range log.all {
		if f.typ == typ {
			n++
		}
	}
	return n
}
