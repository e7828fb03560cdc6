package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/events"
	"lonja/kit/eventlog"
	"lonja/kit/streams"
)

// Told is one event of a story, and what it came from.
type Told struct {
	Stream   string    `json:"stream"`
	Sequence uint64    `json:"sequence"`
	Type     string    `json:"type"`
	Time     time.Time `json:"time"`
	Actor    string    `json:"actor"`
	EventID  string    `json:"event_id"`
	// Causation is the id of the command that made the event. When that was a
	// reaction, Consumer names it and Cause is the event that it reacted to.
	Causation string          `json:"causation_id"`
	Consumer  string          `json:"consumer,omitempty"`
	Cause     string          `json:"cause,omitempty"` // "ORDERS:17"
	Depth     int             `json:"depth"`           // how many causes there are in the story before it
	Data      json.RawMessage `json:"data"`            // without secrets

	Event events.Event `json:"-"`
}

// Position is where the event stands: "ORDERS:17".
func (t Told) Position() string { return fmt.Sprintf("%s:%d", t.Stream, t.Sequence) }

// Telling says out of what stories are told.
type Telling struct {
	JetStream jetstream.JetStream
	Language  eventlog.Codec
	Streams   *streams.Config
}

// ErrOutcomeUnknown means that no event is about an id.
var ErrUnknown = errors.New("no order, payment, product or user has this id")

// Tell tells every event about an order, payment, product or user, in order:
// each after what it came from, each stream's in its own order, and else by time.
func Tell(ctx context.Context, c Telling, id string) ([]Told, error) {
	if !events.IsToken(id) {
		return nil, fmt.Errorf("%q: %w", id, ErrUnknown)
	}
	of, err := c.chapters(ctx, id)
	if err != nil {
		return nil, err
	}
	var told []Told
	log := eventlog.New(c.JetStream, c.Language)
	for _, ch := range of {
		err := read(ctx, c.JetStream, ch.stream, ch.subjects, math.MaxUint64, func(seq uint64, m jetstream.Msg) error {
			if !bytes.Contains(m.Data(), []byte(ch.name)) {
				return nil // decoding is what takes its time
			}
			if r := log.Read(ch.stream, seq, m.Subject(), m.Headers(), m.Data()); r.Event != nil && ch.about(r.Event) {
				told = append(told, tell(r))
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(told) == 0 {
		return nil, fmt.Errorf("%q: %w", id, ErrUnknown)
	}
	return causesFirst(findCauses(told, c.consumers())), nil
}

// chapter is what one stream has about an id: events on some subjects whose data
// holds a name, if they are about it.
type chapter struct {
	stream   string
	subjects []string
	name     string
	about    func(events.Event) bool
}

// chapters finds out what an id names, and where there is something about it.
func (c Telling) chapters(ctx context.Context, id string) ([]chapter, error) {
	for _, kind := range []struct {
		stream, entity string
		chapters       func(string, events.Event) []chapter
	}{
		{"ORDERS", "order", ofTheOrder}, {"PAYMENTS", "payment", ofThePayment}, {"IDENTITY", "user", ofTheUser},
	} {
		stream, err := c.JetStream.Stream(ctx, kind.stream)
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", kind.stream, err)
		}
		m, err := stream.GetLastMsgForSubject(ctx, "events."+kind.entity+"."+id+".>")
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", kind.stream, err)
		}
		event, err := c.Language.Decode(m.Header.Get(eventlog.HeaderType), m.Data)
		if err == nil {
			return kind.chapters(id, event), nil
		}
	}
	return ofTheProduct(id), nil
}

func ofTheOrder(id string, _ events.Event) []chapter {
	order := events.OrderID(id)
	about := func(e events.Event) bool { of, ok := e.(events.OfOrder); return ok && of.Order() == order }
	return []chapter{
		{"ORDERS", []string{"events.order." + id + ".>"}, id, about},
		{"PAYMENTS", []string{"events.payment." + string(events.PaymentFor(order)) + ".>"}, id, about},
		{"INVENTORY", []string{"events.stock.>"}, id, about},
	}
}

// ofThePayment is its order's story, of which it is a part.
func ofThePayment(_ string, event events.Event) []chapter {
	return ofTheOrder(string(event.(events.OfOrder).Order()), event)
}

func ofTheUser(id string, _ events.Event) []chapter {
	user := events.UserID(id)
	about := func(e events.Event) bool {
		switch e := e.(type) {
		case events.UserRegistered:
			return e.UserID == user
		case events.UserRolesChanged:
			return e.UserID == user
		case events.UserPasswordChanged:
			return e.UserID == user
		case events.SessionStarted:
			return e.UserID == user
		case events.SessionRotated:
			return e.UserID == user
		case events.SessionEnded:
			return e.UserID == user
		case events.RealmAdminAppointed:
			return e.UserID == user
		case events.OrderPlaced:
			return e.CustomerID == user
		}
		return false
	}
	return []chapter{
		{"IDENTITY", []string{"events.user." + id + ".>", "events.session.>", "events.realm.*.admin_appointed"}, id, about},
		{"ORDERS", []string{"events.order.*.placed"}, id, about},
	}
}

// ofTheProduct is what the catalogue says of it, what moves its stock, and the
// orders that ask for it.
func ofTheProduct(id string) []chapter {
	sku := events.SKU(id)
	return []chapter{
		{"CATALOG", []string{"events.product." + id + ".>"}, id, func(events.Event) bool { return true }},
		{"INVENTORY", []string{"events.stock.>"}, id, func(e events.Event) bool { return slices.Contains(goodsOf(e), sku) }},
		{"ORDERS", []string{"events.order.*.placed"}, id, func(e events.Event) bool { return slices.Contains(goodsOf(e), sku) }},
	}
}

// consumers are all shared ones: each may be how an event led to another.
func (c Telling) consumers() []string {
	var names []string
	for _, s := range c.Streams.Streams {
		for _, cons := range s.Consumers {
			names = append(names, cons.Durable)
		}
	}
	return names
}

// secrets are fields that are never shown.
var secrets = []string{"password_hash", "token_hash", "secret", "seed"}

func tell(r eventlog.Record) Told {
	t := Told{Stream: r.Stream, Sequence: r.Sequence, Type: r.Type, Time: r.Time, Actor: r.Actor.ID,
		EventID: r.ID, Causation: r.Causation, Data: r.Data, Event: r.Event}
	if r.Stream != identityStream {
		return t
	}
	var data map[string]json.RawMessage
	if json.Unmarshal(r.Data, &data) == nil {
		for _, secret := range secrets {
			delete(data, secret)
		}
	}
	t.Data, _ = json.Marshal(data) // raw JSON always can be
	return t
}
