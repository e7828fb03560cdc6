package orders

import (
	"slices"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/decider"
	"lonja/kit/errs"
)

// Events of other services may come twice, late and in any order. An order that
// has moved on, or was never placed, leaves them alone.

// itsOrder is the order that an event is part of.
func itsOrder[E events.OfOrder](event E) string { return string(event.Order()) }

// reserved asks for an order's money. One that costs nothing is paid with that:
// no provider takes it.
func reserved(o order, e events.StockReserved, _ decider.Meta) (events.Event, error) {
	switch {
	case o.Status != query.Placed:
		return nil, nil
	case o.isFree():
		return paidInFull(o), nil
	}
	return events.OrderAwaitingPayment{OrderID: e.OrderID, Amount: o.Total}, nil
}

// refused may come for a paid order, too: when its reservation had expired and
// the goods are gone.
func refused(o order, _ events.StockRefused, _ decider.Meta) (events.Event, error) {
	return cancelledFrom(o, events.OutOfStock, query.Placed, query.Paid)
}

// released may overtake the event that the goods were reserved. The order is
// then still placed, and must not wait for money any more.
func released(o order, e events.StockReleased, _ decider.Meta) (events.Event, error) {
	if e.Reason != events.ReleasedExpired {
		return nil, nil
	}
	return unpaid(o, events.ReservationExpired, query.Placed, query.AwaitingPayment)
}

func captured(o order, e events.PaymentCaptured, _ decider.Meta) (events.Event, error) {
	if e.Unwanted {
		return nil, nil
	}
	switch o.Status {
	case query.Placed:
		// Money is asked for only once the goods are reserved. Should it come
		// before, it must not be lost: it is tried again later.
		return nil, errs.New(errs.Unavailable, "order %s does not await its payment yet", e.OrderID)
	case query.AwaitingPayment:
		if e.Amount != o.Total {
			return nil, errs.New(errs.Conflict, "order %s costs %s, not the %s that were captured", e.OrderID, o.Total, e.Amount)
		}
		return paidInFull(o), nil
	}
	return nil, nil
}

func declined(o order, _ events.PaymentDeclined, _ decider.Meta) (events.Event, error) {
	return cancelledFrom(o, events.PaymentWasDeclined, query.AwaitingPayment)
}

func expired(o order, _ events.PaymentExpired, _ decider.Meta) (events.Event, error) {
	return unpaid(o, events.PaymentHasExpired, query.AwaitingPayment)
}

// unpaid cancels an order, in one of the statuses, whose time to be paid is over.
// One that costs nothing is paid instead: an older program let it await money.
func unpaid(o order, reason string, statuses ...string) (events.Event, error) {
	if o.isFree() && slices.Contains(statuses, o.Status) {
		return paidInFull(o), nil
	}
	return cancelledFrom(o, reason, statuses...)
}

// cancelledFrom cancels an order that has one of the statuses.
func cancelledFrom(o order, reason string, statuses ...string) (events.Event, error) {
	if !slices.Contains(statuses, o.Status) {
		return nil, nil
	}
	return cancelled(o, reason), nil
}

// paidInFull says that an order's money has come, or that it needs none.
func paidInFull(o order) events.Event {
	return events.OrderPaid{OrderID: o.ID, PaymentID: events.PaymentFor(o.ID), Amount: o.Total, Lines: events.PerSKU(events.LinesOf(o.Items))}
}

// isFree reports whether an order costs nothing.
func (o order) isFree() bool { return o.Total.Amount == 0 }
