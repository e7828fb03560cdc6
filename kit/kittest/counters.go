package kittest

import (
	"encoding/json"
	"errors"
	"fmt"

	"lonja/kit/eventlog"
)

// Stream is the name of the stream that holds the events of the counters.
const Stream = "COUNTERS"

// addedType is the type of Added in an envelope.
const addedType = "kittest.counter.added.v1"

// Added is the event that a number was added to a counter. It is the only event of the
// domain.
type Added struct {
	Counter string `json:"counter"` // the counter's name, which must not be empty
	By      int    `json:"by"`      // what was added; may be negative
}

// EventName implements [eventlog.Event].
func (Added) EventName() string { return "counter.added.v1" }

// EntityID implements [eventlog.Event]. It returns the counter's name.
func (a Added) EntityID() string { return a.Counter }

// Check implements [eventlog.Event]. It returns an error if the counter has no name.
func (a Added) Check() error {
	if a.Counter == "" {
		return errors.New("counter must not be empty")
	}
	return nil
}

// Codec writes and reads Added. It knows no other type of event.
var Codec = eventlog.Codec{
	Type:    func(e eventlog.Event) string { return "kittest." + e.EventName() },
	Subject: func(e eventlog.Event) string { return addedSubject(e.EntityID()) },
	Encode:  func(e eventlog.Event) ([]byte, error) { return json.Marshal(e) },
	Decode: func(typ string, data []byte) (eventlog.Event, error) {
		if !known(typ) {
			return nil, fmt.Errorf("unknown type %q", typ)
		}
		var a Added
		if err := json.Unmarshal(data, &a); err != nil {
			return nil, err
		}
		return a, a.Check()
	},
	Knows: known,
}

func known(typ string) bool { return typ == addedType }

func addedSubject(counter string) string { return "events.counter." + counter + ".added" }
