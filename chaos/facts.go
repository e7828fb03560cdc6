package main

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/events"
	"lonja/kit/eventlog"
)

// event is a message of the log, as the fault tests read it: straight from the
// stream, and not with the kit's own reader.
type fact struct {
	stream    string
	sequence  uint64
	subject   string
	typ       string // "order.placed"
	causation string
	time      time.Time    // by the clock of whoever recorded it
	event     events.Event // nil when it is none
}

// events is the whole log of orders, stock and payments.
type facts struct {
	all     []fact
	caused  map[string][]fact // by the command's id
	order   map[string][]fact // by the order's id, stream by stream
	damaged []string          // what is wrong with the log itself
}

// readLog reads the streams from the first sequence to the last.
func readLog(ctx context.Context, js jetstream.JetStream) (*facts, error) {
	log := &facts{caused: map[string][]fact{}, order: map[string][]fact{}}
	for _, stream := range []string{"ORDERS", "INVENTORY", "PAYMENTS"} {
		if err := log.read(ctx, js, stream); err != nil {
			return nil, fmt.Errorf("read %s: %w", stream, err)
		}
	}
	for _, f := range log.all {
		log.caused[f.causation] = append(log.caused[f.causation], f)
		if e, ok := f.event.(events.OfOrder); ok {
			log.order[string(e.Order())] = append(log.order[string(e.Order())], f)
		}
	}
	return log, nil
}

func (l *facts) read(ctx context.Context, js jetstream.JetStream, name string) error {
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
		l.damaged = append(l.damaged, fmt.Sprintf("%s begins at %d and lacks %d messages", name, state.FirstSeq, state.NumDeleted))
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
		f, err := l.factOf(m)
		if err != nil {
			return err
		}
		if f.sequence != last+1 {
			l.damaged = append(l.damaged, fmt.Sprintf("%s: %d follows %d", name, f.sequence, last))
		}
		last = f.sequence
		l.all = append(l.all, f)
	}
	return nil
}

func (l *facts) factOf(m jetstream.Msg) (fact, error) {
	meta, err := m.Metadata()
	if err != nil {
		return fact{}, err
	}
	h := m.Headers()
	f := fact{stream: meta.Stream, sequence: meta.Sequence.Stream, subject: m.Subject(), causation: h.Get(eventlog.HeaderCausation)}
	f.time, _ = time.Parse(time.RFC3339Nano, h.Get(eventlog.HeaderTime)) // poison has none
	if f.event, err = events.Decode(h.Get(eventlog.HeaderType), m.Data()); err != nil {
		f.event = nil
		return f, nil
	}
	f.typ = f.event.EventName()[:len(f.event.EventName())-len(".v1")]
	return f, nil
}

// of are the events of a type about an order.
func (l *facts) of(order, typ string) (found []fact) {
	for _, f := range l.order[order] {
		if f.typ == typ {
			found = append(found, f)
		}
	}
	return found
}

// count is how many events of a type there are.
func (l *facts) count(typ string) (n int) {
	for _, f := range l.all {
		if f.typ == typ {
			n++
		}
	}
	return n
}
