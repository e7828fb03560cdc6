package eventlog_test

import (
	"encoding/json"
	"strings"
	"testing"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// opened is an event whose entity, name and fields a test chooses.
type opened struct {
	Door string `json:"door"`
	Wide int    `json:"wide,omitempty"`
}

func (opened) EventName() string  { return "door.opened.v1" }
func (o opened) EntityID() string { return o.Door }
func (o opened) Check() error {
	if o.Wide < 0 {
		return errs.InvalidField("wide", "must not be negative")
	}
	return nil
}

type openedTwice struct{ opened }
type unversioned struct{ opened }

func (unversioned) EventName() string { return "door.opened" }

func TestNewCodec_WritesAndReadsEvents(t *testing.T) {
	codec := eventlog.NewCodec("house", opened{})
	e := opened{Door: "front", Wide: 3}
	if got := codec.Type(e); got != "house.door.opened.v1" {
		t.Errorf("type %s", got)
	}
	if got := codec.Subject(e); got != "events.door.front.opened" {
		t.Errorf("subject %s", got)
	}
	data, err := codec.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := codec.Decode("house.door.opened.v1", data); err != nil || got != e {
		t.Errorf("got %#v, %v", got, err)
	}
	if got, err := codec.Decode("house.door.opened.v1", []byte(`{"door":"front","wide":3,"of":"a newer program"}`)); err != nil || got != e {
		t.Errorf("with a member more: got %#v, %v", got, err)
	}
	if !codec.Knows("house.door.opened.v1") || codec.Knows("house.door.opened.v2") {
		t.Error("it does not know what it knows")
	}
}

func TestNewCodec_RefusesWhatIsNoEvent(t *testing.T) {
	codec := eventlog.NewCodec("house", opened{})
	for _, id := range []string{"", "a.b", "*", ">", "a b", "a\n", "é"} {
		if _, err := codec.Encode(opened{Door: id}); !errs.Is(err, errs.Invalid) {
			t.Errorf("the id %q is encoded: %v", id, err)
		}
		data, _ := json.Marshal(opened{Door: id})
		if e, err := codec.Decode("house.door.opened.v1", data); err == nil {
			t.Errorf("the id %q is decoded: %v", id, e)
		}
	}
	if _, err := codec.Encode(opened{Door: "front", Wide: -1}); err == nil || !strings.Contains(err.Error(), "wide must not be negative") {
		t.Errorf("an event that fails its check is encoded: %v", err)
	}
	for typ, data := range map[string]string{"house.door.closed.v1": `{"door":"front"}`, "house.door.opened.v1": `{"door":7}`} {
		if e, err := codec.Decode(typ, []byte(data)); err == nil {
			t.Errorf("%s %s is decoded: %v", typ, data, e)
		}
	}
}

// openedV2, openedV3 and openedV4 are what became of opened.
type openedV2 struct {
	Door   string `json:"door"`
	Metres int    `json:"metres"`
}

func (openedV2) EventName() string { return "door.opened.v2" }

type openedV3 struct {
	Door  string `json:"door"`
	Angle int    `json:"angle"`
}

func (openedV3) EventName() string  { return "door.opened.v3" }
func (o openedV3) EntityID() string { return o.Door }
func (o openedV3) Check() error {
	if o.Angle > 180 {
		return errs.InvalidField("angle", "must be at most 180")
	}
	return nil
}

type openedV4 struct{ openedV3 }

func (openedV4) EventName() string { return "door.opened.v4" }

type closedV2 struct{ openedV2 }

func (closedV2) EventName() string { return "door.closed.v2" }

func fromV1(o opened) openedV2   { return openedV2{o.Door, o.Wide} }
func fromV2(o openedV2) openedV3 { return openedV3{o.Door, 10 * o.Metres} }

func TestUpcast_DecodesEveryVersionAsTheNewest(t *testing.T) {
	codec := eventlog.NewCodec("house", eventlog.Upcast(fromV1), openedV3{}, eventlog.Upcast(fromV2))
	want := openedV3{Door: "front", Angle: 30}
	for typ, data := range map[string]string{
		"house.door.opened.v1": `{"door":"front","wide":3}`,
		"house.door.opened.v2": `{"door":"front","metres":3}`,
		"house.door.opened.v3": `{"door":"front","angle":30}`,
	} {
		if e, err := codec.Decode(typ, []byte(data)); err != nil || e != want || !codec.Knows(typ) {
			t.Errorf("%s: %#v, %v", typ, e, err)
		}
	}
	if e, err := codec.Decode("house.door.opened.v1", []byte(`{"door":"front","wide":99}`)); err == nil || !strings.Contains(err.Error(), "house.door.opened.v1: invalid: angle must be at most 180") {
		t.Errorf("what fails the newest version's check is decoded: %#v, %v", e, err)
	}
	if got := codec.Type(want) + " " + codec.Subject(want); got != "house.door.opened.v3 events.door.front.opened" {
		t.Errorf("it is recorded as %s", got)
	}
	if codec.Knows("house.door.opened.v4") {
		t.Error("it does not know what it knows")
	}
}

func TestUpcast_SaysWhichVersionWasForgotten(t *testing.T) {
	for want, versions := range map[string][]eventlog.Version{
		"v1 and v3 of door.opened are both given as the newest; give eventlog.Upcast with a function from v1 to v2 instead": {
			opened{}, openedV3{}, eventlog.Upcast(fromV2)},
		"door.opened.v1 is missing, which logs may hold for ever; give eventlog.Upcast with a function from its struct to v2": {
			openedV3{}, eventlog.Upcast(fromV2)},
		"door.opened.v2 is missing": {openedV3{}, eventlog.Upcast(fromV1)},
		"the upcast of door.opened.v1 returns door.opened.v3; let it return door.opened.v2, and give that one an upcast": {
			openedV3{}, eventlog.Upcast(func(o opened) openedV3 { return openedV3{Door: o.Door} })},
		"the upcast of door.opened.v1 returns door.closed.v2": {
			eventlog.Upcast(func(o opened) closedV2 { return closedV2{} })},
		"door.opened.v3 has an upcast, but door.opened.v4 is not given": {
			eventlog.Upcast(fromV1), eventlog.Upcast(fromV2), eventlog.Upcast(func(o openedV3) openedV4 { return openedV4{o} })},
		"openedV2 is no Event; give an older version by eventlog.Upcast": {openedV2{}, openedV3{}},
	} {
		t.Run(want, func(t *testing.T) {
			defer func() {
				if said, _ := recover().(string); !strings.Contains(said, want) {
					t.Errorf("it says %q", said)
				}
			}()
			eventlog.NewCodec("house", versions...)
		})
	}
}

func TestNewCodec_ErrorsDoNotQuoteThePayload(t *testing.T) {
	codec := eventlog.NewCodec("house", opened{})
	for data, want := range map[string]string{
		`{"door":77315577}`:                 "door cannot be a JSON number",
		`{"door":"front","wide":"7731557"}`: "wide cannot be a JSON string",
		`77315577`:                          "an event cannot be a JSON number",
		`{"door":"7731`:                     "not JSON at byte 13",
	} {
		_, err := codec.Decode("house.door.opened.v1", []byte(data))
		if err == nil || !strings.HasSuffix(err.Error(), want) || strings.Contains(err.Error(), "7731") {
			t.Errorf("%s: %v, want %q", data, err, want)
		}
	}
}

func TestNewCodec_PanicsOnBugs(t *testing.T) {
	for name, events := range map[string][]eventlog.Version{
		"a pointer":      {&opened{}},
		"no version":     {unversioned{}},
		"one name twice": {opened{}, openedTwice{}},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			eventlog.NewCodec("house", events...)
		})
	}
}
