package orders

import (
	"slices"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/decider"
	"lonja/kit/errs"
)

// Events of other services may arrive twice, late and in any order. An event that does not
// fit the order's status changes nothing; nor does one about an order that was never placed.

// onReserved lets an order await its payment. An order that costs nothing is paid at once,
// since no provider takes such a payment.
func onReserved(o order, e events.StockReserved, _ decider.Meta) (events.Event, error) {
	switch {
	case o.Status != query.Placed:
		return nil, nil
	case o.isFree():
		return paidInFull(o), nil
	}
	return events.OrderAwaitingPayment{OrderID: e.OrderID, Amount: o.Total}, nil
}

// onRefused cancels an order whose goods are out of stock. That includes a paid one, whose
// reservation had expired and whose goods are gone.
func onRefused(o order, _ events.StockRefused, _ decider.Meta) (events.Event, error) {
	return cancelFrom(o, events.OutOfStock, query.Placed, query.Paid)
}

// onReleased cancels an unpaid order whose reservation has expired. The event may overtake
// stock.reserved; the order is then still placed, and must not await a payment later.
func onReleased(o order, e events.StockReleased, _ decider.Meta) (events.Event, error) {
	if e.Reason != events.ReleasedExpired {
		return nil, nil
	}
	return cancelUnpaid(o, events.ReservationExpired, query.Placed, query.AwaitingPayment)
}

// onCaptured records that an order is paid. It is a Conflict when the amount is not the
// order's total, which ends as a dead letter.
func onCaptured(o order, e events.PaymentCaptured, _ decider.Meta) (events.Event, error) {
	if e.Unwanted {
		return nil, nil
	}
	switch o.Status {
	case query.Placed:
		// Money is requested only once the goods are reserved. If the capture arrives
		// before that event, it must not be lost: Unavailable has it delivered again.
		return nil, errs.New(errs.Unavailable, "order %s does not await its payment yet", e.OrderID)
	case query.AwaitingPayment:
		if e.Amount != o.Total {
			return nil, errs.New(errs.Conflict, "order %s costs %s, not the %s that were captured", e.OrderID, o.Total, e.Amount)
		}
		return paidInFull(o), nil
	}
	return nil, nil
}

func onDeclined(o order, _ events.PaymentDeclined, _ decider.Meta) (events.Event, error) {
	return cancelFrom(o, events.PaymentWasDeclined, query.AwaitingPayment)
}

func onExpired(o order, _ events.PaymentExpired, _ decider.Meta) (events.Event, error) {
	return cancelUnpaid(o, events.PaymentHasExpired, query.AwaitingPayment)
}

// cancelUnpaid cancels an order that has one of the statuses and was not paid in time. An
// order that costs nothing is paid instead: older programs let it await a payment.
func cancelUnpaid(o order, reason string, statuses ...string) (events.Event, error) {
	if o.isFree() && slices.Contains(statuses, o.Status) {
		return paidInFull(o), nil
	}
	return cancelFrom(o, reason, statuses...)
}

// cancelFrom cancels an order that has one of the statuses.
func cancelFrom(o order, reason string, statuses ...string) (events.Event, error) {
	if !slices.Contains(statuses, o.Status) {
		return nil, nil
	}
	return cancelled(o, reason), nil
}

// paidInFull returns the event that an order's money has come, or that it needs none.
func paidInFull(o order) events.Event {
	return events.OrderPaid{OrderID: o.ID, PaymentID: events.PaymentFor(o.ID), Amount: o.Total, Lines: events.PerSKU(events.LinesOf(o.Items))}
}

// isFree reports whether an order costs nothing.
func (o order) isFree() bool { return o.Total.Amount == 0 }
