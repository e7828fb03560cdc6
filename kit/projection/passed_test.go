package projection_test

import (
	"errors"
	"testing"

	"lonja/kit/eventlog"
	"lonja/kit/kittest"
)

// older is the language before counters could be called "new".
func older() eventlog.Codec {
	lang := kittest.Codec
	lang.Decode = func(typ string, data []byte) (eventlog.Event, error) {
		e, err := kittest.Codec.Decode(typ, data)
		if err == nil && e.EntityID() == "new" {
			return nil, errors.New("an unknown type")
		}
		return e, err
	}
	return lang
}

// A replica that is upgraded after the others has passed over events that it did
// not know yet.
func TestAViewThatPassedOverFactsIsMadeAnewOnceTheyAreKnown(t *testing.T) {
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
	if built := v.Built(); built.Events != 0 {
		t.Errorf("made anew out of %d facts, although nothing was learned", built.Events)
	}
	must(t, stop())

	h.log.Log = present
	v, stop = h.run(totals)
	h.wantTotal(v, "c", 2) // the old rows answer meanwhile
	h.awaitTotal(v, "new", 5)
	must(t, stop())

	v, stop = h.run(totals)
	h.await(v, h.log.Add("c", 1))
	if built := v.Built(); built.Events != 0 {
		t.Errorf("made anew out of %d facts once more", built.Events)
	}
	h.wantTotal(v, "new", 5)
	must(t, stop())
}
