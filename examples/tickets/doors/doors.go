// Package doors issues a ticket for every seat that is sold.
package doors

import (
	"strconv"
	"time"

	"tickets/events"

	"lonja/kit/decider"
	"lonja/kit/eventlog"
	"lonja/kit/service"
)

// New returns the service: all that it does.
func New() *service.Service {
	tickets := decider.New(decider.EntityType[ticket]{Subject: "events.ticket", Stream: "DOORS", Evolve: evolve})
	return &service.Service{
		Name: "doors",
		Reactions: []service.Reaction{
			{Consumer: "doors-on-shows", Handlers: []service.Handler{
				service.React(tickets, ticketID, issue),
			}},
		},
	}
}

// ticket is the state that decisions are made on.
type ticket struct{ issued bool }

func evolve(ticket, eventlog.Event, time.Time) ticket { return ticket{issued: true} }

// ticketID names the one ticket of a seat.
func ticketID(e events.SeatSold) string { return e.ShowID + "-" + strconv.Itoa(e.Seat) }

// issue may be asked about the same event again and again; the ticket is issued once.
func issue(t ticket, e events.SeatSold, m decider.Meta) (eventlog.Event, error) {
	if t.issued {
		return nil, nil
	}
	return events.TicketIssued{TicketID: m.EntityID, ShowID: e.ShowID, Seat: e.Seat, Buyer: e.Buyer}, nil
}
