package seed

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"lonja"
	"lonja/events"
	"lonja/kit/eventlog"
)

// Codec is how the shop writes its events.
var Codec = eventlog.Codec{Type: events.Type, Subject: events.Subject, Encode: events.Encode, Decode: events.Decode, Knows: events.Known, Sealed: events.SealedMembers}

// writer records events as the decisions of services do.
type writer struct {
	log *eventlog.Log
	// last has the sequence of the last event of each entity that goes on, by its filter.
	last map[string]uint64
	// numbers has the last number in the books that the steps issue and credit write.
	numbers [steps]int64
}

// cause is what a decision rests on: a command from outside or, for a reaction, what the
// consumer derives from the event that it handles.
type cause struct {
	id, correlation string
	actor           string
	hash            string // of the command, "" for a reaction
	unique          bool   // the sender chooses the entity, so that the id may come with another one
	at              time.Time
}

// recorded is an event in the log.
type recorded struct{ id, correlation string }

// from is a command that somebody sends about an entity that exists.
func from(actor, id string, body any, at time.Time) cause {
	data, _ := json.Marshal(body) // commands can be marshalled
	return cause{id: id, actor: actor, hash: eventlog.HashBody(data), unique: true, at: at}
}

// reaction is what a consumer makes of an event.
func reaction(consumer string, to recorded, at time.Time) cause {
	service, _, _ := strings.Cut(consumer, "-")
	return cause{id: eventlog.DeriveID(to.id, consumer), correlation: to.correlation, actor: "service:" + service, at: at}
}

// record appends an event. It returns before the event is stored.
func (w *writer) record(ctx context.Context, c cause, e events.Event) (recorded, error) {
	subject := events.Subject(e)
	entity := subject[:strings.LastIndexByte(subject, '.')]
	stream := streamOf[strings.SplitN(entity, ".", 3)[1]]
	env := eventlog.Envelope{
		ID: eventlog.EventID(c.id), Source: lonja.Name + "/" + serviceOf[stream], Time: c.at.UTC().Truncate(time.Microsecond),
		Causation: c.id, Correlation: c.correlation, Actor: eventlog.Actor{ID: c.actor}, RequestHash: c.hash,
	}
	var options []eventlog.AppendOption
	if c.unique {
		options = append(options, eventlog.UniqueID(eventlog.LegacyEventID(c.id)))
	}
	r, err := w.log.Append(ctx, stream, entity+".>", w.last[entity], env, e, options...)
	if err != nil {
		return recorded{}, err
	}
	w.last[entity] = r.Sequence
	return recorded{r.ID, r.Correlation}, nil
}

// forget drops an entity that nothing more is recorded about.
func (w *writer) forget(kind, id string) { delete(w.last, "events."+kind+"."+id) }

// serviceOf is who records on each stream.
var serviceOf = map[string]string{"CATALOG": "catalog", "INVENTORY": "inventory", "ORDERS": "orders", "PAYMENTS": "payments", "RECEIPTS": "receipts", "IDENTITY": "identity"}
