// Package events holds what the services of the concert hall tell each other.
package events

import (
	"cmp"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// ShowScheduled says that the seats of a show, numbered from 1, are for sale.
type ShowScheduled struct {
	ShowID string `json:"show_id"`
	Title  string `json:"title"`
	Seats  int    `json:"seats"`
}

// SeatSold says that somebody bought one seat of a show.
type SeatSold struct {
	ShowID string `json:"show_id"`
	Seat   int    `json:"seat"`
	Buyer  string `json:"buyer"`
}

// TicketIssued says that the doors let in whoever shows this ticket.
type TicketIssued struct {
	TicketID string `json:"ticket_id"`
	ShowID   string `json:"show_id"`
	Seat     int    `json:"seat"`
	Buyer    string `json:"buyer"`
}

// Codec is how these events are written and read.
var Codec = eventlog.NewCodec("tickets", ShowScheduled{}, SeatSold{}, TicketIssued{})

func (ShowScheduled) EventName() string { return "show.scheduled.v1" }
func (SeatSold) EventName() string      { return "show.seat_sold.v1" }
func (TicketIssued) EventName() string  { return "ticket.issued.v1" }

func (e ShowScheduled) EntityID() string { return e.ShowID }
func (e SeatSold) EntityID() string      { return e.ShowID }
func (e TicketIssued) EntityID() string  { return e.TicketID }

// Check implements eventlog.Event.
func (e ShowScheduled) Check() error {
	return cmp.Or(eventlog.CheckEntityID("show_id", e.ShowID), Positive("seats", e.Seats))
}

// Check implements eventlog.Event.
func (e SeatSold) Check() error {
	return cmp.Or(eventlog.CheckEntityID("show_id", e.ShowID), Positive("seat", e.Seat), NotEmpty("buyer", e.Buyer))
}

// Check implements eventlog.Event.
func (e TicketIssued) Check() error {
	return cmp.Or(eventlog.CheckEntityID("ticket_id", e.TicketID), NotEmpty("buyer", e.Buyer))
}

// Positive returns an Invalid error that names the field unless n is at least 1.
func Positive(field string, n int) error {
	if n < 1 {
		return errs.InvalidField(field, "must be at least 1")
	}
	return nil
}

// NotEmpty returns an Invalid error that names the field unless s says something.
func NotEmpty(field, s string) error {
	if s == "" {
		return errs.InvalidField(field, "must not be empty")
	}
	return nil
}
