package events

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sort"
	"strings"

	// It decodes what encoding/json decodes, and takes half the time.
	jsonv1 "github.com/go-json-experiment/json/v1"
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

// registry lists every event type, newest and older versions. A new event needs its line
// here; ARCHITECTURE.md lists the other places.
var registry = index(
	kind[ProductCreated](), kind[ProductChanged](), kind[ProductArchived](), kind[ProductRestored](),

	kind[StockCounted](), kind[StockAdjusted](), kind[StockReserved](), kind[StockRefused](),
	kind[StockCommitted](), kind[StockReleased](), kind[StockReturned](), kind[StockRestocked](),

	kind[OrderPlaced](), kind[OrderAwaitingPayment](), kind[OrderPaid](), kind[OrderShipped](),
	kind[OrderDelivered](), kind[OrderCancelled](), kind[OrderRefundRequested](), kind[OrderRefundFailed](),

	kind[PaymentRequested](), kind[PaymentCaptured](), kind[PaymentDeclined](), kind[PaymentExpired](),
	kind[PaymentVoided](), kind[PaymentRefunded](), kind[PaymentOpened](), kind[PaymentAttemptFailed](),
	kind[PaymentRetried](), kind[PaymentPageClosed](), kind[PaymentFlagged](), kind[PaymentRefundRequested](), kind[PaymentRefundFailed](),

	kind[ReceiptIssued](), kind[ReceiptCredited](),

	kind[UserRegistered](), kind[UserRolesChanged](), kind[UserPasswordChanged](), kind[UserProfileChanged](),
	kind[UserEmailClaimed](), kind[UserEmailReleased](), kind[UserEmailChanged](), kind[UserSealed](), kind[UserErased](),
	kind[SessionStarted](), kind[SessionRotated](), kind[SessionEnded](),
	kind[LoginStarted](), kind[LoginRefreshed](), kind[LoginEnded](),
	kind[RealmOpened](), kind[RealmKeyAdded](), kind[RealmAdminAppointed](),

	older(userRegisteredV1.next), older(userPasswordChangedV1.next), older(realmOpenedV1.next), older(realmKeyAddedV1.next),
)

// Types returns the ce-type of every event that can be recorded, sorted.
func Types() []string { return typesWhere(func(k kindOf) bool { return k.upcast == nil }) }

// OlderTypes returns the ce-types that only old logs hold, sorted. Decode returns their events
// as those of the newest version.
func OlderTypes() []string { return typesWhere(func(k kindOf) bool { return k.upcast != nil }) }

func typesWhere(wanted func(kindOf) bool) (types []string) {
	for t, k := range registry {
		if wanted(k) {
			types = append(types, t)
		}
	}
	sort.Strings(types)
	return types
}

// Known reports whether a ce-type is one of Types or OlderTypes.
func Known(typ string) bool { return registry[typ].decode != nil }

// Zero returns an event of a ce-type with no field set, for those who describe its fields. It
// panics on a type that is not in Types.
func Zero(typ string) Event {
	e, newest := registry[typ].zero.(Event)
	if !newest {
		panic("events: there is no newest version " + typ)
	}
	return e
}

// SealedMembers returns the JSON names of the sealed fields of a ce-type's events, nil when
// there are none; see Sealed.
func SealedMembers(typ string) []string { return registry[typ].sealed }

// Type returns an event's ce-type, such as "lonja.order.placed.v1".
func Type(e Event) string { return typeOf(e) }

// Subject returns the subject on which an event is recorded, such as "events.order.ord_1.placed".
func Subject(e Event) string {
	entity, event := splitName(e.EventName())
	return "events." + entity + "." + e.EntityID() + "." + event
}

// SubjectsOf returns the subject filter of a ce-type's events: their subject with a wildcard
// for the entity's id. It panics on a type that is not Known.
func SubjectsOf(typ string) string {
	if !Known(typ) {
		panic("events: unknown type " + typ)
	}
	entity, event := splitName(strings.TrimPrefix(typ, "lonja."))
	return "events." + entity + ".*." + event
}

// Decode returns the event that a message of a ce-type holds, in its newest version. It fails
// on a type that is not Known, on JSON that does not fit the type, and on an event that fails
// its Check.
func Decode(typ string, data []byte) (Event, error) {
	k, known := registry[typ]
	if !known {
		return nil, fmt.Errorf("unknown event type %q", typ)
	}
	v, err := k.decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", typ, err)
	}
	for ; k.upcast != nil; k = registry[typeOf(v)] {
		v = k.upcast(v)
	}
	e := v.(Event)
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

// version is an event of any version. That of the newest version is an Event.
type version interface{ EventName() string }

func typeOf(v version) string { return "lonja." + v.EventName() }

// kindOf is a type of event: how to decode it, and how to make the next version of it.
type kindOf struct {
	typ    string
	zero   version  // with no field set
	sealed []string // JSON names of the sealed fields
	decode func([]byte) (version, error)
	upcast func(version) version // nil for the newest version
}

// kind registers the newest version of an event.
func kind[E Event]() kindOf { return kindOfVersion[E]() }

// older registers an older version of an event by its function to the next version, which may
// be an older one itself.
func older[Old, Next version](next func(Old) Next) kindOf {
	k := kindOfVersion[Old]()
	k.upcast = func(v version) version { return next(v.(Old)) }
	return k
}

func kindOfVersion[V version]() kindOf {
	var zero V
	if reflect.TypeFor[V]().Kind() != reflect.Struct {
		panic(fmt.Sprintf("events: %T must be a struct", zero))
	}
	return kindOf{typ: typeOf(zero), zero: zero, sealed: sealedMembers(reflect.TypeFor[V]()), decode: func(data []byte) (version, error) {
		var v V
		return v, unquoted(jsonv1.Unmarshal(data, &v))
	}}
}

// unquoted returns an error of encoding/json without what it quotes of the JSON, which may
// identify a person: the error becomes the reason of a dead letter.
func unquoted(err error) error {
	var form *jsonv1.UnmarshalTypeError
	var syntax *jsonv1.SyntaxError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &form):
		kind, _, _ := strings.Cut(form.Value, " ") // "number 12" has the number
		return fmt.Errorf("%s cannot be a JSON %s", cmp.Or(form.Field, "an event"), kind)
	case errors.As(err, &syntax):
		return fmt.Errorf("not JSON at byte %d", syntax.Offset)
	}
	return fmt.Errorf("a field cannot be decoded (%T)", err) // a time or base64
}

func index(all ...kindOf) map[string]kindOf {
	byType := make(map[string]kindOf, len(all))
	for _, k := range all {
		if _, twice := byType[k.typ]; twice {
			panic("events: two kinds are called " + k.typ)
		}
		byType[k.typ] = k
	}
	checkVersions(byType)
	return byType
}

// splitName splits "order.placed.v1" into "order" and "placed".
func splitName(name string) (entity, event string) {
	entity, rest, _ := strings.Cut(name, ".")
	event, _, _ = strings.Cut(rest, ".")
	return entity, event
}
