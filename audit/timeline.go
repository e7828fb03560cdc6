package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/events"
	"lonja/kit/eventlog"
	"lonja/kit/streams"
)

// TimelineEvent is one event of a timeline and its cause.
type TimelineEvent struct {
	Stream   string    `json:"stream"`
	Sequence uint64    `json:"sequence"`
	Type     string    `json:"type"`
	Time     time.Time `json:"time"`
	Actor    string    `json:"actor"`
	EventID  string    `json:"event_id"`
	// Causation is the id of the command that recorded the event. If a reaction
	// sent the command, Consumer names the reaction and Cause is the event that it
	// reacted to.
	Causation string          `json:"causation_id"`
	Consumer  string          `json:"consumer,omitempty"`
	Cause     string          `json:"cause,omitempty"` // "ORDERS:17"
	Depth     int             `json:"depth"`           // length of the chain of causes within the timeline
	Data      json.RawMessage `json:"data"`            // the event's body without what is secret or identifies a person

	Event events.Event `json:"-"` // the decoded event; one of an older version has such fields in plain text
}

// Position returns the event's stream and sequence: "ORDERS:17".
func (t TimelineEvent) Position() string { return fmt.Sprintf("%s:%d", t.Stream, t.Sequence) }

// TimelineConfig is what [Timeline] reads from. All fields are required.
type TimelineConfig struct {
	JetStream jetstream.JetStream
	Codec     eventlog.Codec
	Streams   *streams.Config
}

// ErrUnknownID reports that no event is about an id.
var ErrUnknownID = errors.New("no order, payment, product or user has this id")

// Timeline returns every event about the order, payment, product or user with an id, and shows
// nothing that identifies a person. An event comes after its cause and after the earlier events
// of its stream; otherwise the order is by time. The timeline of a payment is that of its order.
// The error is [ErrUnknownID] when no event is about the id. Timeline only reads.
func Timeline(ctx context.Context, c TimelineConfig, compactID string) ([]TimelineEvent, error) {
	if !events.IsToken(compactID) {
		return nil, fmt.Errorf("%q: %w", compactID, ErrUnknownID)
	}
	present, err := c.Streams.Present(ctx, c.JetStream)
	if err != nil {
		return nil, err
	}
	c.Streams = present
	log := eventlog.New(c.JetStream, c.Codec)
	sources, err := c.sources(ctx, log, compactID)
	if err != nil {
		return nil, err
	}
	var timeline []TimelineEvent
	for _, src := range c.onPartitions(sources) {
		err := read(ctx, c.JetStream, src.stream, src.subjects, 0, math.MaxUint64, func(seq uint64, m jetstream.Msg) error {
			if !bytes.Contains(m.Data(), []byte(src.contains)) {
				return nil // skip the decoding, which takes most of the time
			}
			if r := log.Read(src.stream, seq, m.Subject(), m.Headers(), m.Data()); r.Event != nil && src.matches(r.Event) {
				timeline = append(timeline, timelineEvent(r))
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(timeline) == 0 {
		return nil, fmt.Errorf("%q: %w", compactID, ErrUnknownID)
	}
	return orderByCause(linkCauses(timeline, c.consumers())), nil
}

// source is where one stream holds events about an id: on some subjects, with a
// text in their data, and accepted by a function.
type source struct {
	stream   string
	subjects []string
	contains string
	matches  func(events.Event) bool
}

// onPartitions returns the sources with those on further partitions. An entity is on one of them; which
// one is not worth asking.
func (c TimelineConfig) onPartitions(sources []source) (all []source) {
	for _, src := range sources {
		for _, stream := range c.Streams.Layout.Partitions(src.stream) {
			on := src
			on.stream, on.subjects = stream, streams.SubjectsOn(stream, src.subjects)
			all = append(all, on)
		}
	}
	return all
}

// sources finds out what an id names and where its events are.
func (c TimelineConfig) sources(ctx context.Context, log *eventlog.Log, compactID string) ([]source, error) {
	for _, candidate := range []struct {
		stream, entity string
		sources        func(string, events.Event) []source
	}{
		{"ORDERS", "order", orderSources}, {"PAYMENTS", "payment", paymentSources}, {"IDENTITY", "user", userSources},
	} {
		for _, name := range c.Streams.Layout.Partitions(candidate.stream) {
			stream, err := c.JetStream.Stream(ctx, name)
			if err != nil {
				return nil, fmt.Errorf("stream %s: %w", name, err)
			}
			m, err := stream.GetLastMsgForSubject(ctx, streams.SubjectOn(name, "events."+candidate.entity+"."+compactID+".>"))
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("stream %s: %w", name, err)
			}
			if r := log.Read(name, m.Sequence, m.Subject, m.Header, m.Data); r.Event != nil {
				return candidate.sources(compactID, r.Event), nil
			}
		}
	}
	return productSources(compactID), nil
}

func orderSources(compactID string, _ events.Event) []source {
	order := events.OrderID(compactID)
	matches := func(e events.Event) bool { sources, ok := e.(events.OfOrder); return ok && sources.Order() == order }
	return []source{
		{"ORDERS", []string{"events.order." + compactID + ".>"}, compactID, matches},
		{"PAYMENTS", []string{"events.payment." + string(events.PaymentFor(order)) + ".>"}, compactID, matches},
		{"INVENTORY", []string{"events.stock.>"}, compactID, matches},
		{"RECEIPTS", []string{"events.receipt.>"}, compactID, matches},
	}
}

// paymentSources returns the sources of the payment's order.
func paymentSources(_ string, event events.Event) []source {
	return orderSources(string(event.(events.OfOrder).Order()), event)
}

// userSources returns the sources of an account, with the claims of its addresses, or of an
// address, with all accounts that had it.
func userSources(compactID string, _ events.Event) []source {
	user := events.UserID(compactID)
	matches := func(e events.Event) bool { return e.EntityID() == compactID || userOf(e) == user }
	return []source{
		{"IDENTITY", []string{"events.user.>", "events.session.>", "events.realm.*.admin_appointed"}, compactID, matches},
		{sessionsStream, []string{"events.login.>"}, compactID, matches},
		{"ORDERS", []string{"events.order.*.placed"}, compactID, matches},
	}
}

// userOf returns the user that an event of another entity names, "" for none.
func userOf(event events.Event) events.UserID {
	switch e := event.(type) {
	case events.UserEmailClaimed:
		return e.UserID
	case events.UserEmailReleased:
		return e.UserID
	case events.SessionStarted:
		return e.UserID
	case events.SessionRotated:
		return e.UserID
	case events.SessionEnded:
		return e.UserID
	case events.LoginStarted:
		return e.UserID
	case events.LoginRefreshed:
		return e.UserID
	case events.LoginEnded:
		return e.UserID
	case events.RealmAdminAppointed:
		return e.UserID
	case events.OrderPlaced:
		return e.CustomerID
	}
	return ""
}

// productSources returns where the catalogue describes a product, what moves its
// stock, and the orders that contain it. Any id that names nothing else is taken
// for a SKU.
func productSources(compactID string) []source {
	sku := events.SKU(compactID)
	return []source{
		{"CATALOG", []string{"events.product." + compactID + ".>"}, compactID, func(events.Event) bool { return true }},
		{"INVENTORY", []string{"events.stock.>"}, compactID, func(e events.Event) bool { return slices.Contains(skusOf(e), sku) }},
		{"ORDERS", []string{"events.order.*.placed"}, compactID, func(e events.Event) bool { return slices.Contains(skusOf(e), sku) }},
	}
}

// effectNames are the names of the services' effects, which have no consumer.
var effectNames = []string{"payments-refunds"}

// consumers returns the names of all shared consumers and effects. Each of them can be how one
// event caused another.
func (c TimelineConfig) consumers() []string {
	names := slices.Clone(effectNames)
	for _, s := range c.Streams.Streams {
		for _, cons := range s.Consumers {
			names = append(names, cons.Durable)
		}
	}
	return names
}

// secrets lists the fields of identity's events that are never shown, besides those that are
// sealed in the newest version of an event: an older version has them in plain text.
var secrets = []string{"token_hash", "sealed"}

func timelineEvent(r eventlog.Record) TimelineEvent {
	t := TimelineEvent{Stream: r.Stream, Sequence: r.Sequence, Type: r.Type, Time: r.Time, Actor: r.Actor.ID,
		EventID: r.ID, Causation: r.Causation, Data: r.Data, Event: r.Event}
	if r.Stream != identityStream {
		return t
	}
	var data map[string]json.RawMessage
	if json.Unmarshal(r.Data, &data) == nil {
		hidden := slices.Concat(secrets, events.SealedMembers(events.Type(r.Event)))
		maps.DeleteFunc(data, func(name string, _ json.RawMessage) bool {
			return slices.ContainsFunc(hidden, func(h string) bool { return strings.EqualFold(h, name) }) // JSON's names are taken in any case
		})
	}
	t.Data, _ = json.Marshal(data) // marshalling raw JSON cannot fail
	return t
}
