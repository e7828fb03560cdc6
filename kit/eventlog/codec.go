package eventlog

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	// It decodes what encoding/json decodes, and takes half the time.
	jsonv1 "github.com/go-json-experiment/json/v1"

	"lonja/kit/errs"
)

// NewCodec returns the Codec of an application whose events are Go structs. Each
// event is given as a zero value in its newest version, and by an Upcast in each older one:
//
//	eventlog.NewCodec("tickets", ShowScheduled{}, SeatSold{}, eventlog.Upcast(seatSoldV1.next))
//
// The name of an event, "show.seat_sold.v1", must not depend on its fields. It gives
// the type, "tickets.show.seat_sold.v1", and the subject, "events.show.<id>.seat_sold".
// The payload is the struct as JSON. An event is encoded, and decoded, only if its
// Check returns nil and its entity's id passes CheckEntityID. Members that the struct
// does not have are ignored, so that a newer program may add some. Errors do not quote the
// payload, but Check's are passed on, so they should not, either. Fields with the tag
// sealed:"true" are sealed; see Sealed. An older version is decoded as the newest one, whose
// Check it must pass.
//
// NewCodec panics when an event is no struct, when a name does not consist of entity,
// event and version, when two events have one name, when a version is missing, or when an
// event with sealed fields does not embed Sealed or has no method KeyOwner: those are bugs of
// the caller.
func NewCodec(application string, versions ...Version) Codec {
	types, next, sealed := map[string]reflect.Type{}, map[string]func(Version) Version{}, map[string][]string{}
	typeOf := func(v Version) string { return application + "." + v.EventName() }
	for _, v := range versions {
		name, zero := typeOf(v), v
		_, newest := v.(Event)
		if old, is := v.(olderVersion); is {
			zero, next[name] = old.Version, old.next
		} else if !newest {
			panic(fmt.Sprintf("eventlog: %T is no Event; give an older version by eventlog.Upcast", v))
		}
		t := reflect.TypeOf(zero)
		switch {
		case t.Kind() != reflect.Struct:
			panic(fmt.Sprintf("eventlog: the event %v must be a struct, not a pointer to one", t))
		case strings.Count(v.EventName(), ".") != 2 || !version.MatchString(name):
			panic(fmt.Sprintf("eventlog: the name %q of %v must be <entity>.<event>.v<number>", v.EventName(), t))
		case types[name] != nil:
			panic(fmt.Sprintf("eventlog: %v and %v are both called %s", types[name], t, name))
		}
		types[name] = t
		if members := sealedFields(t, newest); len(members) > 0 {
			sealed[name] = members
		}
	}
	checkVersions(versions)
	return Codec{
		Type:    func(e Event) string { return typeOf(e) },
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
			if err := unquoted(jsonv1.Unmarshal(data, into.Interface())); err != nil {
				return nil, fmt.Errorf("%s: %w", typ, err)
			}
			v := into.Elem().Interface().(Version)
			for upcast := next[typ]; upcast != nil; upcast = next[typeOf(v)] {
				v = upcast(v)
			}
			e := v.(Event)
			if err := check(e); err != nil {
				return nil, fmt.Errorf("%s: %w", typ, err)
			}
			return e, nil
		},
		Knows:  func(typ string) bool { return types[typ] != nil },
		Sealed: func(typ string) []string { return sealed[typ] },
	}
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

// sealedFields returns the names of the members of an event that are sealed. It panics as
// NewCodec does.
func sealedFields(t reflect.Type, newest bool) (members []string) {
	for _, f := range reflect.VisibleFields(t) {
		if f.Tag.Get("sealed") != "true" {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			panic(fmt.Sprintf("eventlog: the sealed field %s of %v needs a name in JSON", f.Name, t))
		}
		members = append(members, name)
	}
	if members == nil {
		return nil
	}
	if embedded, ok := t.FieldByName("Sealed"); !ok || embedded.Type != reflect.TypeFor[Sealed]() {
		panic(fmt.Sprintf("eventlog: %v has sealed fields, so it must embed eventlog.Sealed", t))
	}
	if newest && !t.Implements(reflect.TypeFor[KeyOwner]()) {
		panic(fmt.Sprintf("eventlog: %v has sealed fields, so it must have a method KeyOwner", t))
	}
	return members
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
