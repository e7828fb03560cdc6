package events

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strings"
)

// Event is something that happened in the shop. It never changes afterwards, and its name is
// in the past tense. It is an alias of an unnamed interface, so that the kit, which knows no
// shop, has the very same type.
type Event = interface {
	// EventName returns the entity, event and version, such as "order.placed.v1". It must
	// not depend on the receiver's fields.
	EventName() string
	// EntityID returns the id of the entity that the event is about. It is part of the
	// subject.
	EntityID() string
	// Check returns a *FieldError about the first invalid field, or nil. It is called
	// before an event is recorded and after one is read, so that a message published by
	// hand cannot harm a reader.
	Check() error
}

// OfOrder is an event that is about one order, whichever service recorded it.
type OfOrder interface {
	Event
	Order() OrderID
}

// registry lists every event type, each version once. A new event needs its line
// here; ARCHITECTURE.md lists the other places.
var registry = index(
	kind[ProductCreated](), kind[ProductChanged](), kind[ProductArchived](), kind[ProductRestored](),

	kind[StockCounted](), kind[StockAdjusted](), kind[StockReserved](), kind[StockRefused](),
	kind[StockCommitted](), kind[StockReleased](), kind[StockReturned](),

	kind[OrderPlaced](), kind[OrderAwaitingPayment](), kind[OrderPaid](), kind[OrderShipped](),
	kind[OrderDelivered](), kind[OrderCancelled](),

	kind[PaymentRequested](), kind[PaymentCaptured](), kind[PaymentDeclined](), kind[PaymentExpired](),
	kind[PaymentVoided](), kind[PaymentRefunded](),

	kind[UserRegistered](), kind[UserRolesChanged](), kind[UserPasswordChanged](),
	kind[SessionStarted](), kind[SessionRotated](), kind[SessionEnded](),
	kind[RealmOpened](), kind[RealmKeyAdded](), kind[RealmAdminAppointed](),
)

// Types returns the ce-type of every event, sorted.
func Types() []string {
	types := make([]string, 0, len(registry))
	for t := range registry {
		types = append(types, t)
	}
	sort.Strings(types)
	return types
}

// Known reports whether a ce-type is one of Types.
func Known(typ string) bool { return registry[typ].decode != nil }

// Zero returns an event of a ce-type with no field set, for those who describe its
// fields. It panics on a type that is not in Types.
func Zero(typ string) Event {
	if !Known(typ) {
		panic("events: unknown type " + typ)
	}
	return registry[typ].zero
}

// Type returns an event's ce-type, such as "lonja.order.placed.v1".
func Type(e Event) string { return "lonja." + e.EventName() }

// Subject returns the subject on which an event is recorded, such as "events.order.ord_1.placed".
func Subject(e Event) string {
	entity, event := splitName(e.EventName())
	return "events." + entity + "." + e.EntityID() + "." + event
}

// SubjectsOf returns the subject filter of a ce-type's events: their subject with a wildcard
// for the entity's id. It panics on a type that is not in Types.
func SubjectsOf(typ string) string {
	if !Known(typ) {
		panic("events: unknown type " + typ)
	}
	entity, event := splitName(strings.TrimPrefix(typ, "lonja."))
	return "events." + entity + ".*." + event
}

// Decode returns the event that a message of a ce-type holds. It fails on a type that is not
// in Types, on JSON that does not fit the type, and on an event that fails its Check.
func Decode(typ string, data []byte) (Event, error) {
	if !Known(typ) {
		return nil, fmt.Errorf("unknown event type %q", typ)
	}
	e, err := registry[typ].decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", typ, err)
	}
	if err := e.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", typ, err)
	}
	return e, nil
}

// Encode returns the payload of an event. It fails on an event that fails its Check.
func Encode(e Event) ([]byte, error) {
	if err := e.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", Type(e), err)
	}
	return json.Marshal(e)
}

// kindOf is a type of event: its decoder, and an event with no field set.
type kindOf struct {
	typ    string
	zero   Event
	decode func([]byte) (Event, error)
}

func kind[E Event]() kindOf {
	var zero E
	if reflect.TypeFor[E]().Kind() != reflect.Struct {
		panic(fmt.Sprintf("events: %T must be a struct", zero))
	}
	return kindOf{Type(zero), zero, func(data []byte) (Event, error) {
		var e E
		if err := json.Unmarshal(data, &e); err != nil {
			return nil, err
		}
		return e, nil
	}}
}

func index(all ...kindOf) map[string]kindOf {
	byType := make(map[string]kindOf, len(all))
	for _, k := range all {
		if _, twice := byType[k.typ]; twice {
			panic("events: two kinds are called " + k.typ)
		}
		byType[k.typ] = k
	}
	return byType
}

// splitName splits "order.placed.v1" into "order" and "placed".
func splitName(name string) (entity, event string) {
	entity, rest, _ := strings.Cut(name, ".")
	event, _, _ = strings.Cut(rest, ".")
	return entity, event
}
