package shows

import (
	"reflect"
	"testing"
	"time"

	"tickets/events"

	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

var (
	scheduled = events.ShowScheduled{ShowID: "jazz", Title: "Jazz night", Seats: 2}
	sold      = events.SeatSold{ShowID: "jazz", Seat: 1, Buyer: "ana"}
)

// decide is what shows decides about a command when these events have happened.
func decide(given []eventlog.Event, when any) (eventlog.Event, error) {
	s := newShow()
	for _, event := range given {
		s = evolve(s, event, time.Time{})
	}
	if c, ok := when.(Schedule); ok {
		return schedule(s, c, decider.Meta{})
	}
	return buy(s, when.(Buy), decider.Meta{})
}

func TestDecide_GivenEventsWhenCommandThenEventOrError(t *testing.T) {
	type happened = []eventlog.Event
	for name, c := range map[string]struct {
		given happened
		when  any
		then  eventlog.Event
		code  errs.Code
	}{
		"a show is scheduled":             {nil, Schedule{"jazz", "Jazz night", 2}, scheduled, ""},
		"but not twice":                   {happened{scheduled}, Schedule{"jazz", "Rock", 9}, nil, errs.Conflict},
		"a seat is sold":                  {happened{scheduled}, Buy{"jazz", 1, "ana"}, sold, ""},
		"the same buyer has it already":   {happened{scheduled, sold}, Buy{"jazz", 1, "ana"}, nil, ""},
		"another one comes too late":      {happened{scheduled, sold}, Buy{"jazz", 1, "bo"}, nil, errs.Conflict},
		"and takes the next seat":         {happened{scheduled, sold}, Buy{"jazz", 2, "bo"}, events.SeatSold{ShowID: "jazz", Seat: 2, Buyer: "bo"}, ""},
		"there are no more seats":         {happened{scheduled}, Buy{"jazz", 3, "ana"}, nil, errs.Invalid},
		"nobody has heard of such a show": {nil, Buy{"jazz", 1, "ana"}, nil, errs.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			then, err := decide(c.given, c.when)
			if !reflect.DeepEqual(then, c.then) {
				t.Errorf("got %+v, want %+v", then, c.then)
			}
			if c.code == "" && err != nil || c.code != "" && !errs.Is(err, c.code) {
				t.Errorf("got the error %v, want the code %q", err, c.code)
			}
		})
	}
}

func TestCheck_NamesTheFieldThatIsWrong(t *testing.T) {
	for field, c := range map[string]interface{ Check() error }{
		"title":   Schedule{"jazz", "", 2},
		"seats":   Schedule{"jazz", "Jazz night", 0},
		"show_id": Buy{"jazz.*", 1, "ana"},
		"seat":    Buy{"jazz", 0, "ana"},
		"buyer":   Buy{"jazz", 1, ""},
	} {
		if got, _ := errs.As(c.Check()); got == nil || got.Code != errs.Invalid || got.Field != field {
			t.Errorf("%+v: %v, want an error of %s", c, got, field)
		}
	}
}
