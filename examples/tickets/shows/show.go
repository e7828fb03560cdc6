// Package shows sells the seats of shows, each to one buyer.
package shows

import (
	"cmp"
	"time"

	"tickets/events"

	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// Schedule asks for a show.
type Schedule struct {
	ShowID string `json:"show_id"`
	Title  string `json:"title"`
	Seats  int    `json:"seats"`
}

// Buy asks for one seat of a show.
type Buy struct {
	ShowID string `json:"show_id"`
	Seat   int    `json:"seat"`
	Buyer  string `json:"buyer"`
}

func (Schedule) CommandName() string { return "shows.schedule" }
func (Buy) CommandName() string      { return "shows.buy" }

func (c Schedule) EntityID() string { return c.ShowID }
func (c Buy) EntityID() string      { return c.ShowID }

// Check implements bus.Command.
func (c Schedule) Check() error {
	return cmp.Or(events.ShowScheduled(c).Check(), events.NotEmpty("title", c.Title))
}

// Check implements bus.Command.
func (c Buy) Check() error { return events.SeatSold(c).Check() }

// show is the state that decisions are made on.
type show struct {
	seats int            // 0 before the show is scheduled
	sold  map[int]string // seat -> buyer
}

func newShow() show { return show{sold: map[int]string{}} }

// evolve is the state after an event. It decides nothing.
func evolve(s show, event eventlog.Event, _ time.Time) show {
	switch e := event.(type) {
	case events.ShowScheduled:
		s.seats = e.Seats
	case events.SeatSold:
		s.sold[e.Seat] = e.Buyer
	}
	return s
}

func schedule(s show, c Schedule, _ decider.Meta) (eventlog.Event, error) {
	if s.seats > 0 {
		return nil, errs.New(errs.Conflict, "show %s is scheduled already", c.ShowID)
	}
	return events.ShowScheduled(c), nil
}

// buy sells a seat that is free. The event is recorded only if nothing has happened to
// the show since s; otherwise the kit loads what is new and calls buy again.
func buy(s show, c Buy, _ decider.Meta) (eventlog.Event, error) {
	switch buyer := s.sold[c.Seat]; {
	case s.seats == 0:
		return nil, errs.New(errs.NotFound, "there is no show %s", c.ShowID)
	case c.Seat > s.seats:
		return nil, errs.InvalidField("seat", "must be at most %d", s.seats)
	case buyer == c.Buyer:
		return nil, nil // it is theirs: nothing needs to happen
	case buyer != "":
		return nil, errs.New(errs.Conflict, "seat %d of show %s is sold", c.Seat, c.ShowID)
	}
	return events.SeatSold(c), nil
}
