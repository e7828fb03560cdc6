package eventlog

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"lonja/kit/errs"
)

// NewCodec returns the Codec of an application whose events are Go structs. Each
// event is given as a zero value, once for every version of it:
//
//	eventlog.NewCodec("tickets", ShowScheduled{}, SeatSold{})
//
// The name of an event, "show.seat_sold.v1", must not depend on its fields. It gives
// the type, "tickets.show.seat_sold.v1", and the subject, "events.show.<id>.seat_sold".
// The payload is the struct as JSON. An event is encoded, and decoded, only if its
// Check returns nil and its entity's id passes CheckEntityID. Members that the struct
// does not have are ignored, so that a newer program may add some.
//
// NewCodec panics when an event is no struct, when a name does not consist of entity,
// event and version, or when two events have one name: those are bugs of the caller.
func NewCodec(application string, events ...Event) Codec {
	types := map[string]reflect.Type{}
	typeOf := func(e Event) string { return application + "." + e.EventName() }
	for _, e := range events {
		t, name := reflect.TypeOf(e), typeOf(e)
		switch {
		case t.Kind() != reflect.Struct:
			panic(fmt.Sprintf("eventlog: the event %T must be a struct, not a pointer to one", e))
		case strings.Count(e.EventName(), ".") != 2 || !version.MatchString(name):
			panic(fmt.Sprintf("eventlog: the name %q of %T must be <entity>.<event>.v<number>", e.EventName(), e))
		case types[name] != nil:
			panic(fmt.Sprintf("eventlog: %v and %v are both called %s", types[name], t, name))
		}
		types[name] = t
	}
	return Codec{
		Type:    typeOf,
		Subject: subjectOf,
		Encode: func(e Event) ([]byte, error) {
			if err := check(e); err != nil {
				return nil, fmt.Errorf("%s: %w", typeOf(e), err)
			}
			return json.Marshal(e)
		},
		Decode: func(typ string, data []byte) (Event, error) {
			t := types[typ]
			if t == nil {
				return nil, fmt.Errorf("unknown event type %q", typ)
			}
			into := reflect.New(t)
			err := json.Unmarshal(data, into.Interface())
			e := into.Elem().Interface().(Event)
			if err == nil {
				err = check(e)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", typ, err)
			}
			return e, nil
		},
		Knows: func(typ string) bool { return types[typ] != nil },
	}
}

// subjectOf is where an event is recorded: events.<entity>.<id>.<event>.
func subjectOf(e Event) string {
	entity, rest, _ := strings.Cut(e.EventName(), ".")
	event, _, _ := strings.Cut(rest, ".")
	return "events." + entity + "." + e.EntityID() + "." + event
}

func check(e Event) error {
	if err := e.Check(); err != nil {
		return err
	}
	return CheckEntityID("entity id", e.EntityID())
}

// CheckEntityID returns an Invalid error that names the field when an entity's id
// cannot be one token of a subject: it must be printable ASCII without spaces and
// without '.', '*' and '>'.
func CheckEntityID(field, id string) error {
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c >= 0x7f || c == '.' || c == '*' || c == '>' {
			return errs.InvalidField(field, "must have no spaces and none of . * >")
		}
	}
	if id == "" {
		return errs.InvalidField(field, "must not be empty")
	}
	return nil
}
