package kittest

import (
	"errors"

	"lonja/kit/eventlog"
)

// Stream is the name of the stream that holds the events of the counters.
const Stream = "COUNTERS"

// addedType is the type of Added in an envelope.
const addedType = "kittest.counter.added.v1"

// Added is the event that a number was added to a counter. It is the only event of
// Codec.
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
var Codec = eventlog.NewCodec("kittest", Added{})

func addedSubject(counter string) string { return "events.counter." + counter + ".added" }
