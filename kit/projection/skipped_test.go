package projection_test

import (
	"errors"
	"testing"

	"lonja/kit/eventlog"
	"lonja/kit/kittest"
)

// older returns the codec of a program that cannot decode events of the counter "new".
func older() eventlog.Codec {
	codec := kittest.Codec
	codec.Decode = func(typ string, data []byte) (eventlog.Event, error) {
		e, err := kittest.Codec.Decode(typ, data)
		if err == nil && e.EntityID() == "new" {
			return nil, errors.New("an unknown type")
		}
		return e, err
	}
	return codec
}

// A replica that is upgraded after the others has skipped events that it could not decode.
func TestView_IsRebuiltOnceSkippedEventsCanBeDecoded(t *testing.T) {
	h := newHarness(t)
	present := h.log.Log
	h.log.Log = eventlog.New(h.log.JS, older())
	v, stop := h.run(totals)
	h.log.Poison("events.counter.c.added", "not JSON")
	h.log.Add("new", 5)
	h.await(v, h.log.Add("c", 1))
	h.wantTotal(v, "c", 1)
	h.wantTotal(v, "new", 0)
	must(t, stop())

	v, stop = h.run(totals)
	h.await(v, h.log.Add("c", 1))
	if built := v.LastBuild(); built.Events != 0 {
		t.Errorf("rebuilt from %d events, although no more events can be decoded", built.Events)
	}
	must(t, stop())

	h.log.Log = present
	v, stop = h.run(totals)
	h.wantTotal(v, "c", 2) // from the old rows, during the rebuild
	h.awaitTotal(v, "new", 5)
	must(t, stop())

	v, stop = h.run(totals)
	h.await(v, h.log.Add("c", 1))
	if built := v.LastBuild(); built.Events != 0 {
		t.Errorf("rebuilt from %d events once more", built.Events)
	}
	h.wantTotal(v, "new", 5)
	must(t, stop())
}
