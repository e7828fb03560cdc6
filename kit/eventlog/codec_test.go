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

func TestNewCodec_PanicsOnBugs(t *testing.T) {
	for name, events := range map[string][]eventlog.Event{
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
